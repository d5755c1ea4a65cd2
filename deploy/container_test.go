// Package deploy_test holds what Mintmark is deployed with to its promises: it
// has no code of its own.
package deploy_test

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
)

// instruction is one of a Containerfile.
type instruction struct{ name, args string }

// stages returns the instructions of each build stage, FROM first.
func stages(t *testing.T, file string) [][]instruction {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(string(content), "")
	text = regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, "")
	var all [][]instruction
	for line := range strings.Lines(text) {
		name, args, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case name == "":
			continue
		case name == "FROM":
			all = append(all, nil)
		case len(all) == 0:
			t.Fatalf("%s before the first FROM", name)
		}
		all[len(all)-1] = append(all[len(all)-1], instruction{name, strings.TrimSpace(args)})
	}
	return all
}

func argsOf(stage []instruction, name string) []string {
	var all []string
	for _, i := range stage {
		if i.name == name {
			all = append(all, i.args)
		}
	}
	return all
}

func TestContainerfile(t *testing.T) {
	all := stages(t, "container/Containerfile")
	if len(all) != 2 {
		t.Fatalf("got %d stages, want one that builds and one that is the image", len(all))
	}
	image := all[1]

	for _, c := range []struct{ name, want, why string }{
		{"FROM", "scratch", "the image holds nothing but what is copied in"},
		{"USER", "65532:65532", "Kubernetes sees by the number alone that it is not root"},
		{"ENTRYPOINT", `["/mintmark"]`, "there is no shell to start it"},
		{"CMD", `["serve", "--dir", "/etc/mintmark"]`, "there is no shell to start it"},
	} {
		if got := argsOf(image, c.name); len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: got %q, want %q once: %s", c.name, got, c.want, c.why)
		}
	}
	for _, name := range []string{"ENTRYPOINT", "CMD"} {
		var words []string
		if err := json.Unmarshal([]byte(strings.Join(argsOf(image, name), "")), &words); err != nil {
			t.Errorf("%s is not in the form without a shell: %v", name, err)
		}
	}
}

// Nothing enters the image but what the first stage made from this source.
func TestContainerfileSources(t *testing.T) {
	all := stages(t, "container/Containerfile")
	image := all[len(all)-1]
	for _, name := range []string{"RUN", "ADD", "ENV", "SHELL", "ONBUILD", "HEALTHCHECK"} {
		if got := argsOf(image, name); got != nil {
			t.Errorf("the image has %s %q, want none", name, got)
		}
	}
	copies := argsOf(image, "COPY")
	for _, c := range copies {
		if !strings.HasPrefix(c, "--from=build ") {
			t.Errorf("COPY %s: want --from=build", c)
		}
	}
	for _, want := range []string{"/mintmark", "/etc/ssl/certs/ca-certificates.crt", "/licenses/"} {
		if !strings.Contains(strings.Join(copies, "\n")+"\n", " "+want+"\n") {
			t.Errorf("nothing is copied to %s", want)
		}
	}
	if got := argsOf(all[0], "RUN"); !strings.Contains(strings.Join(got, "\n"), "make build BIN=/out ") {
		t.Errorf("RUN: got %q, want the build of the Makefile, which the tests build with", got)
	}
	labels := strings.Join(argsOf(image, "LABEL"), " ")
	for _, want := range []string{"title", "description", "licenses", "version"} {
		if !strings.Contains(labels, "org.opencontainers.image."+want+"=") {
			t.Errorf("no label %s in %s", want, labels)
		}
	}
}
