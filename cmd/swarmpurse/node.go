package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	_ "time/tzdata" // policies name time zones, and small images have no database of them

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/node/telemetry/traces"
)

const nodeHelp = `Run a node until SIGTERM or Ctrl-C.

Every flag can also be given as an environment variable (--bootstrap-expect as
SWARMPURSE_BOOTSTRAP_EXPECT; lists are separated by commas) and as a key of the YAML file named by
--config (bootstrap-expect: 3). A flag wins over the environment, the environment over the file.

A node with neither --join nor --policy starts alone, with a built-in policy that only meters.

The provider's key for an upstream comes from SWARMPURSE_UPSTREAM_KEY_NAME, or from the file that
SWARMPURSE_UPSTREAM_KEY_FILE_NAME names (NAME in capitals, as in SWARMPURSE_UPSTREAM_KEY_OPENAI).

A node that decides thousands of calls a second takes up to 128 MiB more memory, which saves it a tenth
of its CPU. GOGC in the environment (GOGC=100) leaves that to Go; GOMEMLIMIT bounds all of its memory.

SIGTERM drains: calls in flight end, then the node hands its rights to a peer and leaves.
SIGHUP reads the policy file, the providers' keys and the log level of --config again.`

// newNodeCommand runs a node.
func newNodeCommand(a *app) *cobra.Command {
	var o node.Options
	var config, level, format string
	var https []string
	c := &cobra.Command{
		Use:   "node",
		Short: "Run a node",
		Long:  nodeHelp,
		Example: `  swarmpurse node --name n1
  swarmpurse node --name n2 --gossip 127.0.0.1:7956 --http 127.0.0.1:7080 --grpc 127.0.0.1:7081 \
      --join 127.0.0.1:7946 --policy policy.yaml --data ./n2 --upstream openai=https://api.openai.com/v1`,
		Args: cobra.NoArgs,
	}
	f := c.Flags()
	host, _ := os.Hostname()
	f.StringVar(&o.Name, "name", host, "`name` of this node, unique in its cluster")
	f.StringVar(&o.Gossip, "gossip", node.DefaultGossip, "`address` for gossip, UDP and TCP")
	f.StringVar(&o.Advertise, "advertise", "", "`address` that peers reach the gossip at (default: --gossip)")
	f.StringSliceVar(&https, "http", []string{node.DefaultHTTP}, "`address` of the HTTP API and the proxy, host:port or unix:/path; other than on loopback callers need keys, and the node a certificate; repeatable; off: none")
	f.StringVar(&o.TLSCert, "tls-cert", "", "PEM `file` of the certificate for --http and --grpc, with its chain; read again when it changes")
	f.StringVar(&o.TLSKey, "tls-key", "", "PEM `file` of the certificate's key")
	f.StringVar(&o.GRPC, "grpc", node.DefaultGRPC, "`address` of Envoy's rate limit service, host:port or unix:/path, with keys and a certificate like --http; off: none")
	f.StringVar(&o.Socket, "socket", "", "`address` of a faster door for callers in Go on this machine, unix:/path (default: none)")
	f.StringSliceVar(&o.Join, "join", nil, "`address` of a member's gossip; repeatable")
	f.IntVar(&o.BootstrapExpect, "bootstrap-expect", 1, "found a cluster of this many founders; with --join and 1, found none")
	f.StringVar(&o.PolicyFile, "policy", "", "policy `file`")
	f.StringVar(&o.Data, "data", "", "data `directory`; without one the state is in memory only")
	f.IntVar(&o.AuditMB, "audit-size", 0, "most `MiB` of the data directory that the audit log takes: the oldest records make room (default 256)")
	f.StringVar(&o.Zone, "zone", "", "`name` of the zone that the node runs in")
	f.StringVar(&o.Host, "host", "", "`name` of the machine that the node runs on, so that its guardians are on others (default: the host's name)")
	f.StringVar(&o.KeyringFile, "keyring", "", "serf keyring `file`: gossip is encrypted with it")
	f.StringVar(&o.Cluster, "cluster", node.DefaultCluster, "`name` of the cluster; clusters of different names never merge")
	f.StringArrayVar(&o.Upstreams, "upstream", nil, "provider that the proxy forwards to, as `NAME=URL`, with the name openai or anthropic for calls of those dialects that the policy does not route; repeatable")
	f.IntVar(&o.GossipBytesPerSecond, "gossip-rate", 25_000, "most `bytes` a second that telling of budgets may cost")
	f.DurationVar(&o.Drain, "drain", node.DefaultDrain, "how long a shutdown waits for calls in flight")
	f.StringVar(&o.OTLP, "otlp", "", "`URL` of an OpenTelemetry collector that is sent traces of calls: http://host:4318 or grpc://host:4317, https or grpcs with TLS (default: none, or what OTEL_EXPORTER_OTLP_ENDPOINT says)")
	f.BoolVar(&o.Faults, "faults", false, "allow POST /debug/faults, which cuts gossip with peers and sets the clock wrong; for tests")
	f.StringVar(&config, "config", "", "YAML `file` with these flags as keys")
	f.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&format, "log-format", "auto", "json, console, or auto: console on a terminal")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := settle(f, a.getenv, &config); err != nil {
			return err
		}
		if o.OTLP == "" {
			var err error
			if o.OTLP, err = traces.FromEnvironment(a.getenv); err != nil {
				return usageError("%w", err)
			}
		}
		log, least, err := telemetry.NewLogger(a.stderr, level, format)
		if err != nil {
			return usageError("%w", err)
		}
		o.Logger, o.HTTP = log, strings.Join(https, ",")
		build := readBuildInfo()
		o.Version, o.Revision = build.short(), build.Commit
		o.UpstreamKey = func(name string) (string, error) { return upstreamKey(a.getenv, name) }
		hup := make(chan os.Signal, 1)
		signal.Notify(hup, syscall.SIGHUP)
		defer signal.Stop(hup)
		n, err := node.Open(cmd.Context(), o)
		if err != nil {
			return err
		}
		// Under systemd (Type=notify) the service manager is told; elsewhere this does nothing.
		tell := func(state string) {
			if _, err := daemon.SdNotify(false, state); err != nil {
				log.Warn().Err(err).Msg("the service manager could not be told")
			}
		}
		tell(daemon.SdNotifyReady)
		defer context.AfterFunc(cmd.Context(), func() { tell(daemon.SdNotifyStopping) })()
		if every, err := daemon.SdWatchdogEnabled(false); err != nil {
			return usageError("the service manager's watchdog: %w", err)
		} else if every > 0 {
			ctx, stop := context.WithCancel(context.WithoutCancel(cmd.Context()))
			defer stop()
			go feedWatchdog(ctx, every, n.Alive, tell)
		}
		go func() {
			for range hup {
				err := errors.Join(n.Reload(cmd.Context()), reloadLevel(least, f, a.getenv, config, level))
				if err != nil {
					log.Error().Err(err).Msg("reload: some settings stay as they were")
				} else {
					log.Info().Msg("reloaded")
				}
			}
		}()
		go paceGC(cmd.Context())
		return n.Run(cmd.Context())
	}
	return c
}

// reloadLevel sets the log level anew, from the configuration file if that is where it came from.
func reloadLevel(least *telemetry.Level, f *pflag.FlagSet, getenv func(string) string, config, level string) error {
	if config != "" && getenv(envName("log-level")) == "" && !f.Changed("log-level") {
		file, err := readConfig(config)
		if err != nil {
			return err
		}
		if v, ok := file["log-level"]; ok {
			level = fmt.Sprint(v)
		}
	}
	return least.Set(level)
}

// settle fills in what the command line did not say: from the environment, then from the file.
func settle(f *pflag.FlagSet, getenv func(string) string, config *string) error {
	if v := getenv(envName("config")); v != "" && !f.Changed("config") {
		*config = v
	}
	var file map[string]any
	if *config != "" {
		var err error
		if file, err = readConfig(*config); err != nil {
			return err
		}
	}
	var unknown []string
	for key := range file {
		if f.Lookup(key) == nil || key == "config" {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return usageError("%s: unknown keys: %s; the keys are the flags of swarmpurse node, without dashes", *config, strings.Join(unknown, ", "))
	}
	var errs []error
	f.VisitAll(func(fl *pflag.Flag) {
		if fl.Changed || fl.Name == "config" || fl.Name == "help" {
			return
		}
		env := envName(fl.Name)
		if v := getenv(env); v != "" {
			if err := setFlag(f, fl, strings.Split(v, ",")); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", env, err))
			}
			return
		}
		if v, ok := file[fl.Name]; ok {
			values := []string{fmt.Sprint(v)}
			if list, ok := v.([]any); ok {
				values = nil
				for _, x := range list {
					values = append(values, fmt.Sprint(x))
				}
			}
			if err := setFlag(f, fl, values); err != nil {
				errs = append(errs, fmt.Errorf("%s: %s: %w", *config, fl.Name, err))
			}
		}
	})
	if len(errs) > 0 {
		return usageError("%w", errors.Join(errs...))
	}
	return nil
}

// setFlag sets a flag without marking it as given on the command line. A list replaces the default.
func setFlag(f *pflag.FlagSet, fl *pflag.Flag, values []string) error {
	if list, ok := fl.Value.(pflag.SliceValue); ok {
		return list.Replace(values)
	}
	return fl.Value.Set(strings.Join(values, ","))
}

func envName(flag string) string {
	return "SWARMPURSE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

func readConfig(file string) (map[string]any, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, usageError("--config: %w", err)
	}
	if info.Size() > maxConfig {
		return nil, usageError("--config %s: %d bytes, at most %d are allowed", file, info.Size(), maxConfig)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, usageError("--config: %w", err)
	}
	m := map[string]any{}
	if err := yaml.Unmarshal(b, &m); err != nil {
		return nil, usageError("--config %s: %w", file, err)
	}
	return m, nil
}

// upstreamKey finds the provider's key for an upstream: in the environment, or in a file that it names.
func upstreamKey(getenv func(string) string, name string) (string, error) {
	suffix := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
	if key := getenv("SWARMPURSE_UPSTREAM_KEY_" + suffix); key != "" {
		return key, nil
	}
	file := getenv("SWARMPURSE_UPSTREAM_KEY_FILE_" + suffix)
	if file == "" {
		return "", nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("the key of upstream %q: %w", name, err)
	}
	return strings.TrimSpace(string(b)), nil
}
