package deploy_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// object is a Kubernetes object, as much of it as these tests read.
type object struct {
	Kind     string `yaml:"kind"`
	Metadata struct {
		Name, Namespace string
		Labels          map[string]string
	}
	Data  map[string]string
	Token *bool     `yaml:"automountServiceAccountToken"`
	Spec  yaml.Node `yaml:"spec"`
}

type pod struct {
	Labels map[string]string
	Spec   podSpec
}

type podSpec struct {
	Token          *bool       `yaml:"automountServiceAccountToken"`
	HostNetwork    bool        `yaml:"hostNetwork"`
	HostPID        bool        `yaml:"hostPID"`
	HostIPC        bool        `yaml:"hostIPC"`
	ShareProcesses bool        `yaml:"shareProcessNamespace"`
	InitContainers []container `yaml:"initContainers"`
	Containers     []container
	Volumes        []map[string]any
	Security       struct {
		FSGroup int `yaml:"fsGroup"`
	} `yaml:"securityContext"`
}

type container struct {
	Name          string
	Image         string
	RestartPolicy string `yaml:"restartPolicy"`
	Args          []string
	Ports         []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	StartupProbe struct {
		TCPSocket struct{ Port string } `yaml:"tcpSocket"`
	} `yaml:"startupProbe"`
	Env []struct {
		Name, Value string
		ValueFrom   any `yaml:"valueFrom"`
	}
	EnvFrom  any `yaml:"envFrom"`
	Security struct {
		RunAsUser    int  `yaml:"runAsUser"`
		RunAsNonRoot bool `yaml:"runAsNonRoot"`
		ReadOnlyRoot bool `yaml:"readOnlyRootFilesystem"`
		Privileged   bool
		Escalation   *bool `yaml:"allowPrivilegeEscalation"`
		Capabilities struct{ Add, Drop []string }
		Seccomp      struct{ Type string } `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	Resources struct{ Limits map[string]string }
	Mounts    []mount `yaml:"volumeMounts"`
}

type mount struct {
	Name     string
	Path     string `yaml:"mountPath"`
	ReadOnly bool   `yaml:"readOnly"`
}

type labels struct {
	MatchLabels map[string]string `yaml:"matchLabels"`
}

func (c container) mount(name string) (mount, bool) {
	i := slices.IndexFunc(c.Mounts, func(m mount) bool { return m.Name == name })
	if i < 0 {
		return mount{}, false
	}
	return c.Mounts[i], true
}

// objects reads every object of the example.
func objects(t *testing.T) []object {
	t.Helper()
	files, err := filepath.Glob("kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d files (%v), want the example", len(files), err)
	}
	var all []object
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for d := yaml.NewDecoder(bytes.NewReader(content)); ; {
			var o object
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

// one returns the only object of a kind and name ("" for any).
func one(t *testing.T, kind, name string) object {
	t.Helper()
	found := slices.DeleteFunc(objects(t), func(o object) bool {
		return o.Kind != kind || name != "" && o.Metadata.Name != name
	})
	if len(found) != 1 {
		t.Fatalf("%s %s: got %d, want 1", kind, name, len(found))
	}
	return found[0]
}

func decode[T any](t *testing.T, n yaml.Node) T {
	t.Helper()
	var v T
	if err := n.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// agentPod returns the pod with its sidecar and its agent.
func agentPod(t *testing.T) (p pod, mintmark, agent container) {
	t.Helper()
	set := decode[struct {
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     yaml.Node
		}
	}](t, one(t, "StatefulSet", "researcher").Spec)
	p = pod{Labels: set.Template.Metadata.Labels, Spec: decode[podSpec](t, set.Template.Spec)}
	if len(p.Spec.InitContainers) != 1 || len(p.Spec.Containers) != 1 {
		t.Fatalf("got %d init containers and %d containers, want the sidecar and the agent",
			len(p.Spec.InitContainers), len(p.Spec.Containers))
	}
	return p, p.Spec.InitContainers[0], p.Spec.Containers[0]
}

func TestEveryObjectIsInTheNamespace(t *testing.T) {
	for _, o := range objects(t) {
		want := "agents"
		if o.Kind == "Namespace" || o.Kind == "ClusterSPIFFEID" {
			want = ""
		}
		if o.Metadata.Name == "" || o.Metadata.Namespace != want {
			t.Errorf("%s %q: got namespace %q, want %q", o.Kind, o.Metadata.Name, o.Metadata.Namespace, want)
		}
		if o.Kind == "Secret" {
			t.Errorf("Secret %s: the example needs none", o.Metadata.Name)
		}
	}
	if got := one(t, "Namespace", "agents").Metadata.Labels["pod-security.kubernetes.io/enforce"]; got != "restricted" {
		t.Errorf("the namespace enforces %q, want restricted", got)
	}
}

func TestPodIsConfined(t *testing.T) {
	p, _, _ := agentPod(t)
	if no(p.Spec.Token) || no(one(t, "ServiceAccount", "").Token) {
		t.Error("the pod gets a token for the Kubernetes API")
	}
	if p.Spec.HostNetwork || p.Spec.HostPID || p.Spec.HostIPC || p.Spec.ShareProcesses {
		t.Error("the pod shares a namespace with the node, or its containers see each other's processes")
	}
	for _, v := range p.Spec.Volumes {
		for _, kind := range slices.Sorted(maps.Keys(v)) {
			memory, _ := v["emptyDir"].(map[string]any)
			if !slices.Contains([]string{"name", "csi", "configMap"}, kind) && memory["medium"] != "Memory" {
				t.Errorf("volume %v is a %s", v["name"], kind)
			}
		}
	}
}

// no reports whether b is anything but an explicit false.
func no(b *bool) bool { return b == nil || *b }

func TestContainersAreConfined(t *testing.T) {
	_, mintmark, agent := agentPod(t)
	for _, c := range []container{mintmark, agent} {
		s := c.Security
		for fault, bad := range map[string]bool{
			"may be root":                          !s.RunAsNonRoot || s.RunAsUser == 0,
			"can write its root file system":       !s.ReadOnlyRoot,
			"is privileged":                        s.Privileged,
			"may gain privileges":                  no(s.Escalation),
			"keeps capabilities":                   !slices.Equal(s.Capabilities.Drop, []string{"ALL"}) || s.Capabilities.Add != nil,
			"has no seccomp profile":               s.Seccomp.Type != "RuntimeDefault",
			"has no memory limit":                  c.Resources.Limits["memory"] == "",
			"takes its environment from elsewhere": c.EnvFrom != nil,
		} {
			if bad {
				t.Errorf("container %s %s", c.Name, fault)
			}
		}
		for _, e := range c.Env {
			if e.ValueFrom != nil {
				t.Errorf("container %s takes %s from elsewhere", c.Name, e.Name)
			}
		}
	}
	if mintmark.Security.RunAsUser == agent.Security.RunAsUser {
		t.Error("the agent runs as the broker's user")
	}
}

func TestSidecar(t *testing.T) {
	p, mintmark, agent := agentPod(t)
	if mintmark.RestartPolicy != "Always" {
		t.Errorf("restartPolicy: got %q, want Always, which makes it a sidecar", mintmark.RestartPolicy)
	}
	if len(mintmark.Ports) != 1 || mintmark.StartupProbe.TCPSocket.Port != mintmark.Ports[0].Name {
		t.Error("no startup probe: the agent would not wait for the broker")
	}
	for _, name := range []string{"spiffe", "bundle", "ca"} {
		if m, ok := mintmark.mount(name); !ok || !m.ReadOnly {
			t.Errorf("the sidecar's mount of %s: got %+v, want it, read-only", name, m)
		}
	}
	for _, name := range []string{"record", "bundle", "escrow"} {
		if m, ok := agent.mount(name); ok {
			t.Errorf("the agent has %s at %s", name, m.Path)
		}
	}
	if p.Spec.Security.FSGroup != mintmark.Security.RunAsUser {
		t.Errorf("fsGroup: got %d, want %d, to write the record", p.Spec.Security.FSGroup, mintmark.Security.RunAsUser)
	}
}

// config is the part of mintmark.yaml that the pod depends on.
type config struct {
	Trust struct {
		WorkloadAPI string `yaml:"workload_api"`
	}
	Listeners []struct {
		Address   string
		Plaintext bool
	}
	Upstreams map[string]any
	Audit     struct{ Directory string }
	Escrow    string
}

// The pod and the bundle in it must agree on paths, ports and names.
func TestPodFitsBundle(t *testing.T) {
	_, mintmark, agent := agentPod(t)
	var cfg config
	if err := yaml.Unmarshal([]byte(one(t, "ConfigMap", "researcher-mintmark").Data["mintmark.yaml"]), &cfg); err != nil {
		t.Fatal(err)
	}
	if m, _ := mintmark.mount("bundle"); !slices.Equal(mintmark.Args, []string{"serve", "--dir", m.Path}) {
		t.Errorf("args: got %q, want the bundle's folder %s", mintmark.Args, m.Path)
	}
	if m, _ := mintmark.mount("record"); !strings.HasPrefix(cfg.Audit.Directory, m.Path+"/") {
		t.Errorf("audit.directory: got %q, want it below %s", cfg.Audit.Directory, m.Path)
	}
	if m, _ := mintmark.mount("escrow"); cfg.Escrow == "" || cfg.Escrow != m.Path {
		t.Errorf("escrow: got %q, want the volume in memory at %q", cfg.Escrow, m.Path)
	}
	if m, _ := mintmark.mount("spiffe"); !strings.HasPrefix(cfg.Trust.WorkloadAPI, "unix://"+m.Path+"/") {
		t.Errorf("trust.workload_api: got %q, want it below %s", cfg.Trust.WorkloadAPI, m.Path)
	}
	env := map[string]string{}
	for _, e := range agent.Env {
		env[e.Name] = e.Value
	}
	if env["SPIFFE_ENDPOINT_SOCKET"] != cfg.Trust.WorkloadAPI {
		t.Errorf("SPIFFE_ENDPOINT_SOCKET: got %q, want %q", env["SPIFFE_ENDPOINT_SOCKET"], cfg.Trust.WorkloadAPI)
	}
	u, err := url.Parse(env["MCP_SERVER_URL"])
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Listeners) != 2 || cfg.Listeners[0].Address != u.Host || !cfg.Listeners[0].Plaintext || cfg.Listeners[1].Plaintext {
		t.Errorf("listeners: got %+v, want %s in plaintext and one with TLS", cfg.Listeners, u.Host)
	}
	if _, ok := cfg.Upstreams[strings.TrimPrefix(u.Path, "/mcp/")]; !ok {
		t.Errorf("MCP_SERVER_URL: got %s, want one of the upstreams", u)
	}
}

// An entry that does not name the container would give both the same identity.
func TestEachContainerHasItsOwnIdentity(t *testing.T) {
	p, mintmark, agent := agentPod(t)
	policy := one(t, "ConfigMap", "researcher-mintmark").Data["agents.cedar"]
	ids := map[string]string{}
	for _, o := range objects(t) {
		if o.Kind != "ClusterSPIFFEID" {
			continue
		}
		spec := decode[struct {
			Template string   `yaml:"spiffeIDTemplate"`
			Pods     labels   `yaml:"podSelector"`
			Select   []string `yaml:"workloadSelectorTemplates"`
		}](t, o.Spec)
		i := slices.IndexFunc(spec.Select, func(s string) bool { return strings.HasPrefix(s, "k8s:container-name:") })
		if i < 0 {
			t.Fatalf("%s: no container is selected", o.Metadata.Name)
		}
		name := strings.TrimPrefix(spec.Select[i], "k8s:container-name:")
		if ids[name] != "" {
			t.Errorf("container %s has two identities", name)
		}
		ids[name] = strings.ReplaceAll(spec.Template, "{{ .TrustDomain }}", "example.org")
		if !maps.Equal(spec.Pods.MatchLabels, p.Labels) {
			t.Errorf("%s: got pods %v, want %v", o.Metadata.Name, spec.Pods.MatchLabels, p.Labels)
		}
	}
	if len(ids) != 2 || ids[mintmark.Name] == "" || ids[agent.Name] == "" || ids[mintmark.Name] == ids[agent.Name] {
		t.Fatalf("got identities %v, want one of its own for %s and %s", ids, mintmark.Name, agent.Name)
	}
	if !strings.Contains(policy, `Agent::"`+ids[agent.Name]+`"`) {
		t.Errorf("no policy is about %s", ids[agent.Name])
	}
	if strings.Contains(policy, ids[mintmark.Name]) {
		t.Errorf("a policy is about the broker itself, %s", ids[mintmark.Name])
	}
}

func TestNetworkPolicy(t *testing.T) {
	p, _, _ := agentPod(t)
	spec := decode[struct {
		Pods    labels   `yaml:"podSelector"`
		Types   []string `yaml:"policyTypes"`
		Ingress []any
		Egress  []struct{ To, Ports []map[string]any }
	}](t, one(t, "NetworkPolicy", "").Spec)
	if !maps.Equal(spec.Pods.MatchLabels, p.Labels) {
		t.Errorf("podSelector: got %v, want %v", spec.Pods.MatchLabels, p.Labels)
	}
	if !slices.Equal(spec.Types, []string{"Ingress", "Egress"}) || len(spec.Ingress) > 0 {
		t.Errorf("got %v with ingress %v, want both, and nothing may come in", spec.Types, spec.Ingress)
	}
	if len(spec.Egress) == 0 {
		t.Error("nothing may go out: the sidecar could not work")
	}
	for i, rule := range spec.Egress {
		if len(rule.To) == 0 || len(rule.Ports) == 0 {
			t.Errorf("egress %d is to anywhere or on any port", i)
		}
		for _, peer := range rule.To {
			if peer["namespaceSelector"] == nil {
				t.Errorf("egress %d: got peer %v, want a namespace", i, peer)
			}
		}
	}
}
