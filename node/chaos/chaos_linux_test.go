package chaos

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/needs"
)

var (
	seedFlag     = flag.Uint64("chaos.seed", 0, "seed of TestChaos; 0 draws one")
	durationFlag = flag.Duration("chaos.duration", 40*time.Second, "how long TestChaos runs its load")
	nodesFlag    = flag.Int("chaos.nodes", 7, "nodes of TestChaos")
	slackFlag    = flag.Duration("chaos.slack", 2*time.Minute, "how much longer than is promised it may take until all agree, on a machine that does other things, too")
	outFlag      = flag.String("chaos.out", "", "directory in which TestChaos leaves its report and, should it fail, the nodes' logs, by seed; none: they are not kept")
)

func TestMain(m *testing.M) {
	if o, inside := Inside(); inside {
		os.Exit(runInside(o))
	}
	os.Exit(m.Run())
}

// runInside is the run, in the process that has namespaces of its own.
func runInside(o Options) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rep, err := Run(ctx, o, os.Stdout)
	var not *NotPermittedError
	switch {
	case errors.As(err, &not):
		fmt.Println("SKIPPED:", err)
		return codeSkip
	case err != nil:
		fmt.Println("error:", err)
		return 1
	case !rep.OK:
		return 1
	}
	return 0
}

const sandboxAdvice = "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns=0), or run it as root with CAP_SYS_ADMIN and CAP_NET_ADMIN"

// codeSkip is the exit code of a run that is not permitted.
const codeSkip = 77

// A swarm of real processes under real faults. By default a short run with a seed of its own, which it prints.
func TestChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	o := Options{Seed: *seedFlag, Duration: *durationFlag, Nodes: *nodesFlag, Slack: *slackFlag}
	if o.Seed == 0 {
		o.Seed = uint64(rand.Uint32()) + 1
	}
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	if kinds, why := missing(); len(kinds) > 0 && os.Getenv("SWARMPURSE_CI") != "" {
		t.Fatalf("a run would go without faults of the kinds %v: %s (on Debian: apt install iproute2)", kinds, why)
	}
	t.Logf("seed %d; again: %s", o.Seed, o.rerun())
	dir := t.TempDir()
	o.Binary, o.Newer = build(t, dir, "chaos-old"), build(t, dir, "chaos-new")
	if o.Out = filepath.Join(dir, "out"); *outFlag != "" {
		o.Out = filepath.Join(*outFlag, fmt.Sprint(o.Seed))
	}
	o.Dir = filepath.Join(dir, "run")
	for _, d := range []string{o.Out, o.Dir} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// Ctrl-C ends the run, but not this process before its temporary directory is gone.
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := Sandbox(ctx, o, os.Stdout, os.Stderr)
	var not *NotPermittedError
	switch {
	case ctx.Err() != nil:
		t.Fatal("interrupted")
	case code == codeSkip:
		needs.Skip(t, "not permitted here; the reason stands above", sandboxAdvice)
	case errors.As(err, &not):
		needs.Skip(t, err, sandboxAdvice)
	case err != nil:
		t.Fatal(err)
	case code != 0:
		t.Errorf("the run failed, as its report says; again: %s", o.rerun())
	}
}

// build builds swarmpurse as that version.
func build(t *testing.T, dir, version string) string {
	t.Helper()
	file := filepath.Join(dir, version)
	cmd := exec.Command("go", "build", "-buildvcs=false", "-ldflags", "-X main.version="+version, "-o", file,
		"github.com/swarmpurse/swarmpurse/cmd/swarmpurse")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("swarmpurse cannot be built: %v\n%s", err, out)
	}
	return file
}
