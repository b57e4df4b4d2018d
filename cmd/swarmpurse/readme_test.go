package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestReadme types the commands of README.md in, and holds that each of the others that it names is typed there, too, or in the script that stands here.
func TestReadme(t *testing.T) {
	needCurl(t)
	src, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(src)
	r := newReader(t)
	r.skip = map[string]string{
		"git clone https://github.com/swarmpurse/swarmpurse && cd swarmpurse": "this is that directory",
		"make build && export PATH=$PWD/bin:$PATH":                            "make smoke builds it so, in make ci",
		"make demo": "a minute and a half: make smoke, in make ci, is the same for 20 s",
		"go install github.com/swarmpurse/swarmpurse/cmd/swarmpurse@latest": "it installs what was published; go install ./cmd/swarmpurse is make build to another place",
		"make static": "without cgo all is compiled anew, a minute and a half; it checks itself",
	}
	r.shorter = map[string]string{}
	for line, less := range map[string][2]string{
		"swarmpurse sim run partition --nodes 20":                                                         {"--nodes 20", "--nodes 10 --set workload.0.rate=20/s"},
		"swarmpurse sim run partition --out report":                                                       {"--out", "--nodes 8 --set workload.0.rate=20/s --out"},
		"swarmpurse sim run steady --policy next.yaml --nodes 50 --set network.loss=2%; echo $?":          {"--nodes 50", "--nodes 4 --set workload.0.rate=50/s --systems swarmpurse"},
		"swarmpurse sim compare steady --policy policy/starter.yaml --policy next.yaml; echo $?":          {"steady", "steady --nodes 4 --set workload.0.rate=20/s"},
		"swarmpurse sim sweep steady --over network.loss=0%,1%,5%,20% --figure goodput,bytes --out sweep": {"steady", "steady --nodes 4 --set workload.0.rate=20/s"},
	} {
		r.shorter[line] = strings.Replace(line, less[0], less[1], 1)
	}
	r.follow(doc)
	for _, table := range []map[string]string{r.skip, r.shorter} {
		for line := range table {
			if !r.used[line] {
				t.Errorf("it has no more: %s", line)
			}
		}
	}

	// Commands within a sentence. Those of a script are in testdata/script.
	elsewhere := map[string]string{
		"swarmpurse top":   "TestTopInATerminal",
		"make":             "it lists what make can do",
		"make ci":          "what runs this",
		"make bench":       "three minutes: what has a target is measured, and held to none",
		"make chaos":       "five minutes: TestChaos, which make ci runs for some seconds",
		"make sim-soak":    "half an hour: TestSoak runs it for a few seeds",
		"swarmpurse bench": "script bench.txtar: bench",
		"swarmpurse audit verify --data ./n2 --peer 127.0.0.1:7070": "script audit.txtar: audit verify --data",
		"swarmpurse members remove":                                 "script members.txtar: members remove",
		"swarmpurse score":                                          "script compare.txtar: score",
		"swarmpurse sim run flash-crowd":                            "TestShippedScenarios",
		"swarmpurse sim run max-min":                                "TestShippedScenarios",
		"swarmpurse sim run guarantee":                              "TestShippedScenarios",
		"swarmpurse sim show divided-canary":                        "TestShippedScenarios",
	}
	typed := map[string]bool{}
	for _, b := range block.FindAllStringSubmatch(doc, -1) {
		for _, c := range commandsOf(b[3]) {
			for words := strings.Fields(c.line); len(words) > 0; words = words[:len(words)-1] {
				typed[strings.Join(words, " ")] = true
			}
		}
	}
	used := map[string]bool{}
	for _, m := range span.FindAllStringSubmatch(fence.ReplaceAllString(doc, ""), -1) {
		// What stands in capitals is the reader's to fill in.
		line := strings.TrimSpace(placeholder.ReplaceAllString(spaces.ReplaceAllString(m[1], " "), ""))
		why, ok := elsewhere[line]
		used[line] = true
		switch {
		case !ok && !typed[line]:
			t.Errorf("`%s` is run nowhere: type it in a console block, or say here where it is run", line)
		case strings.HasPrefix(why, "script "):
			file, words, _ := strings.Cut(strings.TrimPrefix(why, "script "), ": ")
			if script, err := os.ReadFile("testdata/script/" + file); err != nil || !strings.Contains(string(script), words) {
				t.Errorf("`%s`: %s has no %q: %v", line, file, words, err)
			}
		}
	}
	for line := range elsewhere {
		if !used[line] {
			t.Errorf("it has no more: `%s`", line)
		}
	}
	if len(used) < 20 {
		t.Errorf("only %d commands were found in sentences", len(used))
	}
}

var (
	fence       = regexp.MustCompile("(?ms)^```.*?^```$")
	span        = regexp.MustCompile("`((?:swarmpurse|make|go|curl|docker|kubectl)(?:\\s[^`]*)?)`")
	placeholder = regexp.MustCompile(` [A-Z]{2,}.*`)
)
