package kindconfig

import (
	"testing"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/kind/pkg/internal/apis/config"
	"sigs.k8s.io/kind/pkg/internal/apis/config/encoding"
)

func TestKindTakesTheConfiguration(t *testing.T) {
	cluster, err := encoding.Load("../../kind-config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.Validate(); err != nil {
		t.Fatal(err)
	}
	roles := map[config.NodeRole]int{}
	for _, node := range cluster.Nodes {
		roles[node.Role]++
	}
	controlPlanes, workers := roles[config.NodeRole(v1alpha4.ControlPlaneRole)], roles[config.NodeRole(v1alpha4.WorkerRole)]
	if controlPlanes != 1 || workers != 2 {
		t.Errorf("%d control planes and %d workers instead of 1 and 2", controlPlanes, workers)
	}
}

func TestKindRefusesFieldsThatItDoesNotKnow(t *testing.T) {
	_, err := encoding.Parse([]byte("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodess: []\n"))
	if err == nil {
		t.Error("a misspelt field was taken")
	}
}
