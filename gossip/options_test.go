package gossip

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestOptionsSayWhatToFix(t *testing.T) {
	good := baseOptions("n1", &recorder{}, &syncBuffer{})
	if err := good.validate(); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		change func(*Options)
		text   string
	}{
		{func(o *Options) { o.Name = "" }, "name: empty"},
		{func(o *Options) { o.Name = "a/b" }, `name: "a/b"; only letters`},
		{func(o *Options) { o.Name = strings.Repeat("n", 129) }, "name: 129 bytes, at most 128"},
		{func(o *Options) { o.Cluster = "two words" }, `cluster: "two words"`},
		{func(o *Options) { o.Bind = "7946" }, `gossip: "7946" is not host:port`},
		{func(o *Options) { o.Bind = "127.0.0.1:http" }, "has no port"},
		{func(o *Options) { o.Advertise = ":7946" }, "advertise"},
		{func(o *Options) { o.Join = []string{"seed"} }, `join: "seed" is not host:port`},
		{func(o *Options) { o.Join = []string{"seed:0"} }, `join: "seed:0" has no port`},
		{func(o *Options) { o.Join = []string{":7946"} }, `join: ":7946" has no host`},
		{func(o *Options) { o.Join = make([]string, 65) }, "65 seeds, at most 64"},
		{func(o *Options) { o.Keys = [][]byte{make([]byte, 16), make([]byte, 5)} }, "key 2 has 5 bytes"},
		{func(o *Options) { o.Zone, o.Tags = "eu", map[string]string{"zone": "us"} }, `zone: "eu"`},
		{func(o *Options) { o.Tags = map[string]string{"x": strings.Repeat("y", 500)} }, "at most 480"},
		{func(o *Options) { o.BytesPerSecond = -1 }, "bytes per second"},
		{func(o *Options) { o.Fanout = 17 }, "fanout: 17"},
		{func(o *Options) { o.Waves = 9 }, "waves: 9"},
		{func(o *Options) { o.Linger = -1 }, "linger"},
		{func(o *Options) { o.PeerMessagesPerSecond = -1 }, "messages per second"},
		{func(o *Options) { o.PeerBytesPerSecond = -1 }, "bytes per second"},
		{func(o *Options) { o.Delegate = nil }, "delegate"},
		{func(o *Options) { o.KeyringFile = "/nowhere/keys" }, "no such file"},
		{func(o *Options) { o.Bind = "[::]:0" }, "--advertise"},
	} {
		o := good
		tc.change(&o)
		p, err := Open(context.Background(), o)
		if err == nil {
			_ = p.Close()
			t.Errorf("want an error with %q", tc.text)
		} else if !strings.Contains(err.Error(), tc.text) {
			t.Errorf("%q does not contain %q", err, tc.text)
		}
	}
	two := good
	two.Name, two.Bind = "", "x"
	if err := two.validate(); !strings.Contains(err.Error(), "name") || !strings.Contains(err.Error(), "gossip") {
		t.Errorf("not all that is wrong: %v", err)
	}
}

// Tags that pass our check pass serf's, which answers late and with a panic.
func TestTagsAtTheLimit(t *testing.T) {
	t.Parallel()
	tags := make(map[string]string)
	for i := 0; ; i++ {
		tags[fmt.Sprintf("k%02d", i)] = "v"
		if checkTags(tags) != nil {
			delete(tags, fmt.Sprintf("k%02d", i))
			break
		}
	}
	open(t, "a", func(o *Options) { o.Tags = tags })
	open(t, "b", func(o *Options) { o.Tags = map[string]string{"k": strings.Repeat("v", MaxTags-13)} })
}

func TestPortInUse(t *testing.T) {
	t.Parallel()
	a := open(t, "a")
	o := baseOptions("b", &recorder{}, &syncBuffer{})
	o.Bind = a.Addr()
	_, err := Open(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), "--gossip "+a.Addr()+": the port is in use") {
		t.Errorf("%v", err)
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0") // TCP is free, UDP is not
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	o.Bind = udp.LocalAddr().String()
	if _, err := Open(context.Background(), o); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
}

func TestFilesOfPeers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "snap")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(path, "alive: a 127.0.0.1:1\nalive: me 127.0.0.1:9\nclock: 7\nalive: b 127.0.0.1:2\nnot-alive: b\nrubbish\nalive: bad nowhere\n")
	if err := writeKnown(knownFile(path), []known{{"c", "127.0.0.1:3"}, {"a", "127.0.0.1:4"}}); err != nil {
		t.Fatal(err)
	}
	got, err := knownPeers(path, "me")
	if err != nil || len(got) != 2 || strings.Join(got, " ") != "127.0.0.1:3 127.0.0.1:4" && strings.Join(got, " ") != "127.0.0.1:4 127.0.0.1:3" {
		t.Errorf("%v, %v", got, err)
	}
	o := baseOptions("a", &recorder{}, &syncBuffer{})
	o.SnapshotPath = path
	write(knownFile(path), "{}")
	if _, err := Open(context.Background(), o); err == nil || !strings.Contains(err.Error(), knownFile(path)) {
		t.Errorf("a list that is none: %v", err)
	}
	o.SnapshotPath = filepath.Join(t.TempDir(), "no", "such", "dir", "snap")
	if _, err := Open(context.Background(), o); err == nil || !strings.Contains(err.Error(), o.SnapshotPath) {
		t.Errorf("a snapshot that cannot be made: %v", err)
	}
}

func TestLoadKeyring(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := base64.StdEncoding.EncodeToString(testKey)
	for i, tc := range []struct{ text, want string }{
		{`["` + key + `"]`, ""},
		{`["` + key + `", "` + base64.StdEncoding.EncodeToString(testKey[:16]) + `"]`, ""},
		{``, "not a JSON array"},
		{`{"keys": []}`, "not a JSON array"},
		{`[]`, "holds no key"},
		{`["` + key + `", "sec*ret"]`, "key 2 is not base64"},
		{`["c2hvcnQ="]`, "key 1 has 5 bytes"},
		{strings.Repeat(" ", maxKeyringFile+1), "larger than"},
		{`["` + strings.Repeat(key+`","`, maxKeys) + key + `"]`, "65 keys, at most 64"},
	} {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := LoadKeyring(path)
		switch {
		case tc.want == "" && (err != nil || len(keys) == 0 || string(keys[0]) != string(testKey)):
			t.Errorf("%s: %v, %v", tc.text, keys, err)
		case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path)):
			t.Errorf("%.60s: %v, want %q and the path", tc.text, err, tc.want)
		case err != nil && strings.Contains(err.Error(), "sec*ret"):
			t.Errorf("the error shows the key: %v", err)
		}
	}
	if _, err := LoadKeyring(dir); err == nil {
		t.Error("a directory was read as a keyring")
	}
}

func FuzzKeyring(f *testing.F) {
	f.Add([]byte(`["BwcHBwcHBwcHBwcHBwcHBw=="]`))
	f.Add([]byte(`[1]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := parseKeyring(raw)
		if (err == nil) != (len(keys) > 0) || len(keys) > maxKeys {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
	})
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewPedanticRegistry()
	nodes := swarm(t, 2)
	a := open(t, "m", joining(nodes...), func(o *Options) { o.Registerer = reg })
	eventually(t, func() error { return want(len(a.Alive()) == 2, "sees %v", a.Alive()) })
	if err := a.Send("n0", []byte("x")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return want(nodes[0].rec.has("x"), "lost") })
	a.inbox.accept([]byte{kindMax, 1})
	value := func(name string, label string) float64 {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			for _, m := range f.GetMetric() {
				if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
					return m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
		}
		t.Errorf("no metric %s of %q", name, label)
		return -1
	}
	for _, tc := range []struct {
		name, label string
		least       float64
	}{
		{"swarmpurse_gossip_bytes_total", "sent", 100},
		{"swarmpurse_gossip_bytes_total", "received", 100},
		{"swarmpurse_gossip_packets_total", "sent", 1},
		{"swarmpurse_gossip_streams_total", "sent", 1},
		{"swarmpurse_gossip_messages_total", "sent", 1},
		{"swarmpurse_gossip_message_bytes_total", "sent", 1},
		{"swarmpurse_gossip_messages_total", "received", 0},
		{"swarmpurse_gossip_dropped_total", "unknown_kind", 1},
		{"swarmpurse_gossip_dropped_total", "foreign_key", 0},
		{"swarmpurse_gossip_members", "alive", 3},
		{"swarmpurse_gossip_members", "failed", 0},
		{"swarmpurse_gossip_outbox_items", "", 0},
		{"swarmpurse_gossip_outbox_bytes", "", 0},
		{"swarmpurse_gossip_outbox_age_seconds", "", 0},
		{"swarmpurse_gossip_send_queue", "", 0},
		{"swarmpurse_gossip_inbox", "", 0},
		{"swarmpurse_gossip_health_score", "", 0},
	} {
		if v := value(tc.name, tc.label); v < tc.least {
			t.Errorf("%s %s is %v, want at least %v", tc.name, tc.label, v, tc.least)
		}
	}
	o := baseOptions("other", &recorder{}, &syncBuffer{})
	o.Registerer = reg
	if _, err := Open(context.Background(), o); err == nil || !strings.Contains(err.Error(), "registry of its own") {
		t.Errorf("two pools in one registry: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := reg.Gather(); len(left) != 0 {
		t.Errorf("%d metrics after Close", len(left))
	}
}
