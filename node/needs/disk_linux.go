package needs

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// insideEnv is set in the process of a test that may mount.
const insideEnv = "SWARMPURSE_TEST_MOUNTS"

// SmallDisk mounts a file system of its own, of 1 MiB in memory, for a test. Who is not root may do that only in a user namespace, which a process must be
// born into: then the test is run again in one, its outcome is that of this test, and there is no disk, so that the caller returns.
func SmallDisk(t *testing.T) (disk string, ok bool) {
	t.Helper()
	const advice = "allow user namespaces (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns=0), or run the tests as root with CAP_SYS_ADMIN"
	disk = t.TempDir()
	err := unix.Mount("swarmpurse-test", disk, "tmpfs", 0, "size=1m")
	if err == nil {
		t.Cleanup(func() {
			if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		return disk, true
	}
	if os.Getenv(insideEnv) != "" {
		t.Fatalf("a small tmpfs cannot be mounted in a user namespace: %v", err)
	}
	out, born := again(t)
	if !born {
		Skip(t, "a small tmpfs cannot be mounted here: "+err.Error(), advice)
	}
	t.Logf("in a user namespace:\n%s", out)
	return "", false
}

// again runs the test in a process that is root in user and mount namespaces of its own. It reports whether there are such.
func again(t *testing.T) (out []byte, born bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1", "-test.timeout=10m")
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	switch exit := (*exec.ExitError)(nil); {
	case err == nil && !bytes.Contains(out, []byte("--- PASS: "+t.Name())):
		t.Fatalf("the test did not run in a user namespace:\n%s", out)
	case errors.As(err, &exit):
		t.Fatalf("in a user namespace: %v\n%s", err, out)
	case err != nil:
		return nil, false
	}
	return out, true
}
