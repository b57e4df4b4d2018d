package child

import (
	"os"
	"strings"
)

// Env is our environment without settings of nodes, which would override none of our flags but
// might add to them, and without proxies between processes on loopback.
func Env() []string {
	var env []string
	for _, e := range os.Environ() {
		name, _, _ := strings.Cut(e, "=")
		if strings.HasPrefix(name, "SWARMPURSE_") || strings.HasSuffix(strings.ToLower(name), "_proxy") {
			continue
		}
		env = append(env, e)
	}
	return env
}
