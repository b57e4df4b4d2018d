package manifests

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// TestManifests decodes each document as the kind that it says it is, unknown fields and wrong types being errors, and looks whether what
// refers to something else finds it.
func TestManifests(t *testing.T) {
	files, err := filepath.Glob("../../node/deploy/kubernetes/*.yaml")
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	var pods []core.PodTemplateSpec
	selectors := map[string]map[string]string{}
	have := map[string]bool{}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range bytes.Split(src, []byte("\n---\n")) {
			var head meta.TypeMeta
			if err := yaml.Unmarshal(doc, &head); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			into := map[meta.TypeMeta]meta.Object{
				{Kind: "Namespace", APIVersion: "v1"}:                  &core.Namespace{},
				{Kind: "ConfigMap", APIVersion: "v1"}:                  &core.ConfigMap{},
				{Kind: "Service", APIVersion: "v1"}:                    &core.Service{},
				{Kind: "PodDisruptionBudget", APIVersion: "policy/v1"}: &policy.PodDisruptionBudget{},
				{Kind: "Deployment", APIVersion: "apps/v1"}:            &apps.Deployment{},
				{Kind: "DaemonSet", APIVersion: "apps/v1"}:             &apps.DaemonSet{},
			}[head]
			if into == nil {
				t.Errorf("%s: a %s of %s is not known here", file, head.Kind, head.APIVersion)
				continue
			}
			if err := yaml.UnmarshalStrict(doc, into); err != nil {
				t.Errorf("%s: %s: %v", file, head.Kind, err)
				continue
			}
			name := head.Kind + "/" + into.GetName()
			if have[name] || into.GetName() == "" || head.Kind != "Namespace" && into.GetNamespace() != "swarmpurse" {
				t.Errorf("%s: %s in %q", file, name, into.GetNamespace())
			}
			have[name] = true
			own := func(s *meta.LabelSelector, p core.PodTemplateSpec) {
				pods = append(pods, p)
				if sel, err := meta.LabelSelectorAsSelector(s); err != nil || !sel.Matches(labels.Set(p.Labels)) {
					t.Errorf("%s: %s does not select its own pods (%v)", file, name, err)
				}
			}
			switch x := into.(type) {
			case *core.Service:
				selectors[name] = x.Spec.Selector
				if x.Spec.ClusterIP != core.ClusterIPNone || !x.Spec.PublishNotReadyAddresses {
					t.Errorf("%s: it must be headless, and name pods that are not ready", name)
				}
			case *policy.PodDisruptionBudget:
				selectors[name] = x.Spec.Selector.MatchLabels
			case *apps.Deployment:
				own(x.Spec.Selector, x.Spec.Template)
			case *apps.DaemonSet:
				own(x.Spec.Selector, x.Spec.Template)
			}
		}
	}
	if len(pods) != 2 || len(selectors) != 2 || !have["ConfigMap/swarmpurse-policy"] {
		t.Errorf("%d kinds of pods, %d selectors, %v", len(pods), len(selectors), have)
	}
	for _, p := range pods {
		for name, s := range selectors {
			if !labels.SelectorFromSet(s).Matches(labels.Set(p.Labels)) {
				t.Errorf("%s does not select the pods with %v", name, p.Labels)
			}
		}
		volumes := map[string]bool{}
		for _, v := range p.Spec.Volumes {
			volumes[v.Name] = true
			if v.ConfigMap != nil && !have["ConfigMap/"+v.ConfigMap.Name] {
				t.Errorf("no config map %s", v.ConfigMap.Name)
			}
		}
		probed := false
		for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
			for _, m := range c.VolumeMounts {
				if !volumes[m.Name] {
					t.Errorf("%s mounts %s, which the pod has not", c.Name, m.Name)
				}
			}
			if c.Name == "swarmpurse" {
				probed = c.ReadinessProbe != nil && c.LivenessProbe != nil && c.StartupProbe != nil && c.SecurityContext.ReadOnlyRootFilesystem != nil
			}
		}
		if !probed || *p.Spec.TerminationGracePeriodSeconds < 45 {
			t.Errorf("the node lacks a probe, a lock on its files, or time to hand its rights on")
		}
	}
}
