package kstatus

import (
	"testing"

	"cel.dev/cel-go/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// expressions are a kind's health checks in a Kustomization of Flux.
type expressions struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	InProgress string `json:"inProgress"`
	Failed     string `json:"failed"`
	Current    string `json:"current"`
}

func TestFluxHealthCheckExpressions(t *testing.T) {
	var kustomization struct {
		Spec struct {
			HealthCheckExprs []expressions `json:"healthCheckExprs"`
		} `json:"spec"`
	}
	if err := yaml.Unmarshal([]byte(example(t, "yaml", "healthCheckExprs")), &kustomization); err != nil {
		t.Fatal(err)
	}
	of := map[string]expressions{}
	for _, checks := range kustomization.Spec.HealthCheckExprs {
		of[checks.APIVersion+" "+checks.Kind] = checks
	}
	if len(of) != 4 {
		t.Errorf("%d kinds are checked", len(of))
	}
	each(t, func(t *testing.T, state *unstructured.Unstructured) string {
		checks, known := of[state.GetAPIVersion()+" "+state.GetKind()]
		if !known {
			t.Fatalf("there are no checks of %s %s", state.GetAPIVersion(), state.GetKind())
		}
		// In this order, as Flux asks; what is none of them is waited for.
		for _, check := range []struct{ status, expression string }{
			{"InProgress", checks.InProgress}, {"Failed", checks.Failed}, {"Current", checks.Current},
		} {
			if holds(t, check.expression, state) {
				return check.status
			}
		}
		return "InProgress"
	}, func(right verdict) string { return right.kstatus })
}

func holds(t *testing.T, expression string, state *unstructured.Unstructured) bool {
	t.Helper()
	environment, err := cel.NewEnv(cel.Variable("metadata", cel.DynType), cel.Variable("status", cel.DynType))
	if err != nil {
		t.Fatal(err)
	}
	ast, issues := environment.Compile(expression)
	if issues.Err() != nil {
		t.Fatal(issues.Err())
	}
	program, err := environment.Program(ast)
	if err != nil {
		t.Fatal(err)
	}
	answer, _, err := program.Eval(map[string]any{"metadata": state.Object["metadata"], "status": state.Object["status"]})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Value() == true
}
