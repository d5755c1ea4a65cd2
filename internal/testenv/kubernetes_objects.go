package testenv

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// call asks the server as whom token is of. The answer is a Status where the
// status is none of success.
func (s *KubernetesServer) call(ctx context.Context, token, method, path string, body any) (status int, answer []byte, err error) {
	content, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, s.Addr+path, bytes.NewReader(content))
	if err != nil {
		return 0, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	return response.StatusCode, answer, err
}

// As posts body to path as whom token is of, and reads a good answer into
// answer. It returns the status.
func (s *KubernetesServer) As(t testing.TB, token, path string, body, answer any) int {
	t.Helper()
	status, content, err := s.call(t.Context(), token, http.MethodPost, path, body)
	if err != nil {
		t.Fatalf("ask kube-apiserver: %v", err)
	}
	if status < 200 || status > 299 {
		t.Logf("kube-apiserver refused: %s", content)
		return status
	}
	if err := json.Unmarshal(content, answer); err != nil {
		t.Fatalf("ask kube-apiserver: %v in %s", err, content)
	}
	return status
}

// Create makes an object of the collection at path, and returns its UID.
func (s *KubernetesServer) Create(t testing.TB, path string, object map[string]any) string {
	t.Helper()
	var made struct {
		Metadata struct {
			UID string `json:"uid"`
		} `json:"metadata"`
	}
	s.admins(t, http.MethodPost, path, object, &made)
	return made.Metadata.UID
}

// Delete removes the object at path, at once.
func (s *KubernetesServer) Delete(t testing.TB, path string) {
	t.Helper()
	s.admins(t, http.MethodDelete, path, map[string]any{"gracePeriodSeconds": 0}, &struct{}{})
}

func (s *KubernetesServer) admins(t testing.TB, method, path string, body, answer any) {
	t.Helper()
	status, content, err := s.call(t.Context(), s.Admin, method, path, body)
	if err == nil && (status < 200 || status > 299) {
		err = fmt.Errorf("status %d: %s", status, content)
	}
	if err == nil {
		err = json.Unmarshal(content, answer)
	}
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
}

// Namespace makes a namespace with service accounts in it.
func (s *KubernetesServer) Namespace(t testing.TB, namespace string, accounts ...string) {
	t.Helper()
	s.Create(t, "/api/v1/namespaces", named(namespace))
	for _, account := range accounts {
		s.Create(t, "/api/v1/namespaces/"+namespace+"/serviceaccounts", named(account))
	}
}

// Pod makes a pod that runs as account, and returns its UID.
func (s *KubernetesServer) Pod(t testing.TB, namespace, name, account string) string {
	t.Helper()
	pod := named(name)
	pod["spec"] = map[string]any{"serviceAccountName": account, "containers": []any{map[string]any{"name": "main", "image": "none"}}}
	return s.Create(t, "/api/v1/namespaces/"+namespace+"/pods", pod)
}

// AllowTokens lets user, who may be a service account, create tokens of account
// and of no other.
func (s *KubernetesServer) AllowTokens(t testing.TB, namespace, account, user string) {
	t.Helper()
	s.Allow(t, namespace, user, "create", "serviceaccounts/token", account)
}

// Allow lets user do verb to a resource of the core API in a namespace: to the
// objects named, or to all.
func (s *KubernetesServer) Allow(t testing.TB, namespace, user, verb, resource string, names ...string) {
	t.Helper()
	rbac := "/apis/rbac.authorization.k8s.io/v1/namespaces/" + namespace
	name := strings.ToLower(secret())
	role := named(name)
	role["rules"] = []any{map[string]any{"apiGroups": []string{""}, "resources": []string{resource}, "resourceNames": names, "verbs": []string{verb}}}
	s.Create(t, rbac+"/roles", role)
	s.Create(t, rbac+"/rolebindings", binding(name, "Role", user))
}

// Bind gives user, who may be a service account, a role of the whole cluster.
func (s *KubernetesServer) Bind(t testing.TB, role, user string) {
	t.Helper()
	b := binding(role, "ClusterRole", user)
	b["metadata"] = map[string]any{"generateName": "test-"}
	s.Create(t, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", b)
}

func named(name string) map[string]any {
	return map[string]any{"metadata": map[string]any{"name": name}}
}

func binding(role, kind, user string) map[string]any {
	b := named(role)
	b["roleRef"] = map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
	b["subjects"] = []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}}
	return b
}

// PodToken returns a token as the kubelet projects one into a pod: of the pod's
// service account, for audience, ending with the pod.
func (s *KubernetesServer) PodToken(t testing.TB, namespace, account, pod, audience string) string {
	t.Helper()
	var made struct {
		Status struct {
			Token string `json:"token"`
		} `json:"status"`
	}
	s.admins(t, http.MethodPost, "/api/v1/namespaces/"+namespace+"/serviceaccounts/"+account+"/token", map[string]any{"spec": map[string]any{
		"audiences": []string{audience}, "expirationSeconds": 600, "boundObjectRef": map[string]any{"apiVersion": "v1", "kind": "Pod", "name": pod},
	}}, &made)
	return made.Status.Token
}

// KubernetesReview is what the server says of a token.
type KubernetesReview struct {
	Authenticated bool     `json:"authenticated"`
	Audiences     []string `json:"audiences"` // those asked for that it is good for
	User          struct {
		Username string              `json:"username"`
		Extra    map[string][]string `json:"extra"`
	} `json:"user"`
	Error string `json:"error"`
}

// Review asks whether token is good for audience.
func (s *KubernetesServer) Review(t testing.TB, token, audience string) KubernetesReview {
	t.Helper()
	var answer struct {
		Status KubernetesReview `json:"status"`
	}
	s.admins(t, http.MethodPost, "/apis/authentication.k8s.io/v1/tokenreviews", map[string]any{"spec": map[string]any{"token": token, "audiences": []string{audience}}}, &answer)
	return answer.Status
}
