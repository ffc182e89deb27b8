// Package kstatus asks the libraries of generic tools what they make of each kind in each of its states: kstatus, by which Helm
// and Flux wait, and the health checks of docs/INSTALL.md for Argo CD (Lua) and Flux (CEL). The states are golden files of what
// the operator writes (operator/tests/states.rs, operator/tests/tasks/states.rs).
package kstatus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const repository = "../.."

// A verdict is what each tool makes of a state.
type verdict struct {
	kstatus string // also what the CEL expressions for Flux come to
	argo    string
}

var (
	settled   = verdict{"Current", "Healthy"}
	onItsWay  = verdict{"InProgress", "Progressing"}
	failed    = verdict{"Failed", "Degraded"}
	suspended = verdict{"Current", "Suspended"}
)

var verdicts = map[string]verdict{
	"fresh":                  onItsWay,
	"deploying":              onItsWay,
	"volume-being-made":      onItsWay,
	"ready":                  settled,
	"stale":                  onItsWay,
	"rolling-out":            onItsWay,
	"stuck":                  failed,
	"degraded":               onItsWay,
	"down":                   failed,
	"database-starting":      onItsWay,
	"invalid":                failed,
	"invalid-from-the-start": failed,
	"secret-missing":         failed,
	"migration-failed":       failed,
	"backup-overdue":         settled,
	"volume-being-deleted":   failed,
	"volume-cannot-grow":     failed,
	"data-lost":              failed,
	"stopping":               onItsWay,
	"suspended":              suspended,
	"scaled-to-zero":         suspended,
	"backup-waiting":         onItsWay,
	"backup-running":         onItsWay,
	"backup-succeeded":       settled,
	"backup-failed":          failed,
	"restore-waiting":        onItsWay,
	"restore-running":        onItsWay,
	"restore-succeeded":      settled,
	"restore-failed":         failed,
	"drill-waiting":          onItsWay,
	"drill-running":          onItsWay,
	"drill-succeeded":        settled,
	"drill-failed":           failed,
}

// states reads the golden files of all states, by name.
func states(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(repository, "operator/tests/snapshots/state-*.snap"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]*unstructured.Unstructured{}
	for _, file := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "state-"), ".snap")
		found[name] = object(t, read(t, file))
	}
	return found
}

// object is what a golden file holds below its header.
func object(t *testing.T, snapshot string) *unstructured.Unstructured {
	t.Helper()
	parts := strings.SplitN(snapshot, "---\n", 3)
	json, err := yaml.YAMLToJSON([]byte(parts[len(parts)-1]))
	if err != nil {
		t.Fatal(err)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(json); err != nil {
		t.Fatal(err)
	}
	return object
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// example is the first block of docs/INSTALL.md in that language which has those words.
func example(t *testing.T, language, words string) string {
	t.Helper()
	page := read(t, filepath.Join(repository, "docs/INSTALL.md"))
	for _, block := range strings.Split(page, "\n```"+language+"\n")[1:] {
		if block, _, closed := strings.Cut(block, "\n```\n"); closed && strings.Contains(block, words) {
			return block
		}
	}
	t.Fatalf("docs/INSTALL.md has no %s with %q", language, words)
	return ""
}

// each asks a tool about every state, and holds its answer to what is right.
func each(t *testing.T, ask func(*testing.T, *unstructured.Unstructured) string, right func(verdict) string) {
	t.Helper()
	states := states(t)
	for name := range verdicts {
		if states[name] == nil {
			t.Errorf("no golden file of the state %s", name)
		}
	}
	for name, state := range states {
		t.Run(name, func(t *testing.T) {
			verdict, known := verdicts[name]
			if !known {
				t.Fatal("no verdict is known of this state")
			}
			if answer := ask(t, state); answer != right(verdict) {
				t.Errorf("%s, not %s", answer, right(verdict))
			}
		})
	}
}
