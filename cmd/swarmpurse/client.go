package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

const callerHelp = `A node that is not on this machine asks for a caller's key. It is taken from the file that --key names, else
from SWARMPURSE_KEY, else from the file that SWARMPURSE_KEY_FILE names; on a command line everybody on the machine could read it. Who
vouches for the node's certificate stands in the PEM file of --ca, else of SWARMPURSE_CA, else the system's authorities do. The node
itself is named by --node, else by SWARMPURSE_NODE.`

// maxKeyFile and maxCA bound what is read, in bytes.
const (
	maxKeyFile = 4096
	maxCA      = 1 << 20
)

// withClient gives a command -o and what it needs to talk to a node.
func (a *app) withClient(c *cobra.Command) *cobra.Command {
	f := c.Flags()
	f.StringVar(&a.node, "node", "", "`address` of the node: https://host:port, host:port for http on this machine, or unix:/path (default $SWARMPURSE_NODE, else "+api.DefaultNode+")")
	f.StringVar(&a.keyFile, "key", "", "`file` with a caller's key (default $SWARMPURSE_KEY, else the file $SWARMPURSE_KEY_FILE)")
	f.StringVar(&a.ca, "ca", "", "PEM `file` of the authorities that vouch for nodes (default $SWARMPURSE_CA, else the system's)")
	f.DurationVar(&a.timeout, "timeout", 10*time.Second, "how long to wait for the node's answer")
	_ = c.RegisterFlagCompletionFunc("node", a.completeNodes)
	return a.withOutput(c)
}

// showing is what a command does that takes no arguments, asks the node for one thing, and prints it.
func showing[T any](a *app, ask func(*api.Client, context.Context) (T, error), text func(w *strings.Builder, v T)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		client, ctx, done, err := a.client(cmd, 0)
		if err != nil {
			return err
		}
		defer done()
		v, err := ask(client, ctx)
		if err != nil {
			return err
		}
		return a.print(v, func(w *strings.Builder) { text(w, v) })
	}
}

// client makes a client for --node, with a context that ends after --timeout and more; more below 0
// means that only an explicit --timeout counts.
func (a *app) client(cmd *cobra.Command, more time.Duration) (*api.Client, context.Context, context.CancelFunc, error) {
	c, err := a.dial(cmp.Or(a.node, a.getenv("SWARMPURSE_NODE")))
	if err != nil {
		return nil, nil, nil, usageError("%w", err)
	}
	if a.timeout <= 0 {
		return nil, nil, nil, usageError("--timeout is %v: it must be above 0", a.timeout)
	}
	var ctx context.Context
	var cancel context.CancelFunc
	if more < 0 && !cmd.Flags().Changed("timeout") {
		ctx, cancel = context.WithCancel(cmd.Context())
	} else {
		ctx, cancel = context.WithTimeout(cmd.Context(), a.timeout+max(more, 0))
	}
	return c, ctx, func() { cancel(); c.Close() }, nil
}

// dial makes a client for a node with the caller's key.
func (a *app) dial(node string) (*api.Client, error) {
	key, err := a.callerKey()
	if err != nil {
		return nil, err
	}
	ca, err := a.authorities()
	if err != nil {
		return nil, err
	}
	return api.NewClientWith(node, api.ClientOptions{Key: key, CA: ca})
}

func (a *app) callerKey() (string, error) {
	file, from := a.keyFile, "--key"
	if strings.HasPrefix(file, policy.KeyPrefix) {
		return "", usageError("--key names a file that holds the key: on a command line everybody on this machine can read it, so make another now; SWARMPURSE_KEY takes the key itself")
	}
	if file == "" {
		if key := a.getenv("SWARMPURSE_KEY"); key != "" {
			return strings.TrimSpace(key), nil
		}
		if file, from = a.getenv("SWARMPURSE_KEY_FILE"), "SWARMPURSE_KEY_FILE"; file == "" {
			return "", nil
		}
	}
	b, err := a.readFile(file, maxKeyFile)
	if err != nil {
		return "", usageError("%s: %w", from, err)
	}
	key := strings.TrimSpace(string(b))
	if key == "" {
		return "", usageError("%s: %s is empty", from, file)
	}
	return key, nil
}

func (a *app) authorities() (*x509.CertPool, error) {
	file, from := a.ca, "--ca"
	if file == "" {
		if file, from = a.getenv("SWARMPURSE_CA"), "SWARMPURSE_CA"; file == "" {
			return nil, nil
		}
	}
	b, err := a.readFile(file, maxCA)
	if err != nil {
		return nil, usageError("%s: %w", from, err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, usageError("%s: %w", from, errors.New(file+" holds no certificate in PEM form"))
	}
	return pool, nil
}
