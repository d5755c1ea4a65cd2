//go:build e2e && kubernetes

package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"mintmark/internal/testenv"
)

// An API server takes every object of the example, with no field that it does not
// know, and the pod by the rules of its namespace.
func TestClusterTakesTheExample(t *testing.T) {
	k := testenv.Kubernetes(t)
	all := documents(t, "kubernetes/*.yaml")
	slices.SortStableFunc(all, func(a, b map[string]any) int { return rank(a) - rank(b) })
	k.Create(t, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", documents(t, "testdata/clusterspiffeid.yaml")[0])
	awaitResource(t, k, collection(t, "ClusterSPIFFEID"))
	for _, o := range all {
		kind, _ := o["kind"].(string)
		k.Create(t, collection(t, kind)+"?fieldValidation=Strict", o)
	}
	t.Run("and its pod", func(t *testing.T) { takesPod(t, k, all) })
	t.Run("and no field that is misspelt", func(t *testing.T) {
		identity := map[string]any{"metadata": map[string]any{"name": "misspelt"}, "spec": map[string]any{"spiffeIDTemplate": "spiffe://a/b", "jwtTTL": "5m"},
			"apiVersion": "spire.spiffe.io/v1alpha1", "kind": "ClusterSPIFFEID"}
		if status := k.As(t, k.Admin, collection(t, "ClusterSPIFFEID")+"?fieldValidation=Strict", identity, &struct{}{}); status != http.StatusBadRequest {
			t.Errorf("got status %d, want 400: nothing is compared", status)
		}
	})
}

// rank has a namespace come before what is in it.
func rank(o map[string]any) int {
	if o["kind"] == "Namespace" {
		return 0
	}
	return 1
}

func collection(t *testing.T, kind string) string {
	t.Helper()
	path, ok := map[string]string{
		"Namespace":       "/api/v1/namespaces",
		"ConfigMap":       "/api/v1/namespaces/agents/configmaps",
		"Pod":             "/api/v1/namespaces/agents/pods",
		"Service":         "/api/v1/namespaces/agents/services",
		"ServiceAccount":  "/api/v1/namespaces/agents/serviceaccounts",
		"StatefulSet":     "/apis/apps/v1/namespaces/agents/statefulsets",
		"NetworkPolicy":   "/apis/networking.k8s.io/v1/namespaces/agents/networkpolicies",
		"ClusterSPIFFEID": "/apis/spire.spiffe.io/v1alpha1/clusterspiffeids",
	}[kind]
	if !ok {
		t.Fatalf("kind %s: say here where it is created", kind)
	}
	return path
}

// documents reads every object of the files whole.
func documents(t *testing.T, pattern string) []map[string]any {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: got %d files (%v), want some", pattern, len(files), err)
	}
	var all []map[string]any
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for d := yaml.NewDecoder(bytes.NewReader(content)); ; {
			var o map[string]any
			if err := d.Decode(&o); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			all = append(all, o)
		}
	}
	return all
}

// awaitResource waits until the server serves what was defined.
func awaitResource(t *testing.T, k *testenv.KubernetesServer, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for k.As(t, k.Admin, path+"?dryRun=All", map[string]any{}, &struct{}{}) == http.StatusNotFound {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not served within a minute", path)
		}
	}
}

// takesPod makes the pod as the StatefulSet's controller would.
func takesPod(t *testing.T, k *testenv.KubernetesServer, all []map[string]any) {
	i := slices.IndexFunc(all, func(o map[string]any) bool { return o["kind"] == "StatefulSet" })
	pod := all[i]["spec"].(map[string]any)["template"].(map[string]any)
	spec := pod["spec"].(map[string]any)
	spec["volumes"] = append(spec["volumes"].([]any), map[string]any{"name": "record", "persistentVolumeClaim": map[string]any{"claimName": "record-researcher-0"}})
	pod["metadata"].(map[string]any)["name"] = "researcher-0"
	var made struct {
		Spec struct {
			Volumes []struct {
				Name      string
				Projected any
			}
		}
	}
	if status := k.As(t, k.Admin, collection(t, "Pod")+"?fieldValidation=Strict", pod, &made); status != http.StatusCreated {
		t.Fatalf("got status %d, want the pod", status)
	}
	for _, v := range made.Spec.Volumes {
		if v.Projected != nil {
			t.Errorf("volume %s: the pod gets a token for the Kubernetes API", v.Name)
		}
	}
	pod["metadata"].(map[string]any)["name"] = "researcher-1"
	agent := spec["containers"].([]any)[0].(map[string]any)
	agent["securityContext"].(map[string]any)["allowPrivilegeEscalation"] = true
	if status := k.As(t, k.Admin, collection(t, "Pod"), pod, &made); status != http.StatusForbidden {
		t.Errorf("a pod that may gain privileges: got status %d, want 403: the namespace enforces nothing", status)
	}
}
