package kstatus

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

func TestHelmAndFluxWait(t *testing.T) {
	each(t, func(t *testing.T, state *unstructured.Unstructured) string {
		result, err := status.Compute(state)
		if err != nil {
			t.Fatal(err)
		}
		return result.Status.String()
	}, func(right verdict) string { return right.kstatus })
}
