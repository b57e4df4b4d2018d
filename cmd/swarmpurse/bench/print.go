package bench

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Text is the report for people.
func (r *Report) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d cores, %s/%s, %s, %d turns", r.Cores, runtime.GOOS, runtime.GOARCH, r.Go, r.Turns)
	if r.Load > 0 {
		fmt.Fprintf(&b, ", load %.1f before", r.Load)
	}
	b.WriteString("\n")
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	group := ""
	for _, x := range r.Rows {
		if x.Group != group {
			group = x.Group
			_ = w.Flush()
			fmt.Fprintf(&b, "\n%s\n", titles[group])
			fmt.Fprintln(w, "callers\trequests/s\tp50\tp99\tserver CPU\tcallers' CPU\t\t \t")
		}
		part := ""
		if x.Of != "" {
			part = fmt.Sprintf("%.0f %% of %s", x.Part, x.Of)
			if x.PartByCPU > 0 {
				part += fmt.Sprintf(" (by CPU %.0f %%)", x.PartByCPU)
			}
			if x.Target > 0 {
				part += fmt.Sprintf(", target %.0f %%", x.Target)
			}
		}
		fmt.Fprintf(w, "%d\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t\n", x.Callers, x.Rate, short(x.P50us), short(x.P99us), cpu(x.CPUus), cpu(x.CallerCPUus), x.Name, part)
	}
	_ = w.Flush()
	if r.Redis != "" {
		fmt.Fprintf(&b, "\nredis was not measured: %s\n", r.Redis)
	}
	if p := r.Proxy; p != nil {
		fmt.Fprintf(&b, "\nA streaming call of %d prompt tokens at %d callers, %d calls: to the first token, without the provider's own time\n", p.Prompt, p.Callers, p.Calls)
		w = tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "p50\tp99\t\t")
		for _, x := range []struct {
			t    Times
			name string
		}{{p.Direct, "straight"}, {p.Through, "through the proxy"}, {p.Added, "added"}, {p.Target, "target"}, {p.Bare, "added by the standard library's reverse proxy, which looks into nothing"}, {p.Counting, "to count such a prompt, of calls near a limit: not part of it"}} {
			fmt.Fprintf(w, "%s\t%s\t%s\t\n", short(x.t.P50us), short(x.t.P99us), x.name)
		}
		_ = w.Flush()
	}
	return b.String()
}

var titles = map[string]string{
	"http":   "HTTP: admit and settle, one request each, beside a bare net/http handler of the same JSON",
	"grpc":   "gRPC: Envoy's rate limit service, one descriptor, beside a bare grpc-go handler",
	"socket": "--socket: admit and settle from Go, one request each, beside the scripts of a gateway with Redis",
}

func short(us float64) string {
	if us >= 1000 || us <= -1000 {
		return fmt.Sprintf("%.2f ms", us/1000)
	}
	return fmt.Sprintf("%.0f µs", us)
}

func cpu(us float64) string {
	if us == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f µs", us)
}

// processCPU is what a process has used so far, to 10 ms; 0 where the system does not tell as Linux does.
func processCPU(pid int) time.Duration {
	src, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(src), ") ") // its name may hold blanks
	const tick = 10 * time.Millisecond           // USER_HZ is 100 for all programs
	var sum time.Duration
	for i, f := range strings.Fields(rest) {
		if i == 11 || i == 12 { // utime, stime
			n, _ := strconv.ParseInt(f, 10, 64)
			sum += time.Duration(n) * tick
		}
	}
	return sum
}

// loadNow is what the machine did in the last minute; 0 where it does not say.
func loadNow() float64 {
	src, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(src), " ")
	v, _ := strconv.ParseFloat(first, 64)
	return v
}
