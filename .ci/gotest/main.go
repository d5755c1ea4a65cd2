// Command gotest runs "go test -json" with the arguments it is given and tells
// what happens as it happens: a line per package, the whole output of every
// test that failed, the time it took, and last a line "N passed, N failed".
//
// It counts leaves: a test with subtests counts only through them. A test that
// was skipped, one that never ended, a package that did not build, and a run
// without any test all count as failed, because a check that did nothing has
// not passed. The exit code is 0 only when nothing failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

func main() {
	began := time.Now()
	fmt.Println("==> go test", strings.Join(os.Args[1:], " "))
	r := newReport(os.Stdout)
	err := run(r, os.Args[1:])
	fmt.Printf("    tests: done in %.1f s\n", time.Since(began).Seconds())
	if !r.finish(err) {
		os.Exit(1)
	}
}

func run(r *report, args []string) error {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	r.consume(lines(out), 20*time.Second)
	return cmd.Wait()
}

// lines sends what r holds line by line, however long a line is.
func lines(r io.Reader) <-chan string {
	c := make(chan string)
	go func() {
		defer close(c)
		b := bufio.NewReader(r)
		for {
			line, err := b.ReadString('\n')
			if line != "" {
				c <- strings.TrimSuffix(line, "\n")
			}
			if err != nil {
				return
			}
		}
	}()
	return c
}

// event is a line of "go test -json"; see "go doc test2json".
type event struct {
	Action      string
	Package     string
	ImportPath  string // of build output
	FailedBuild string
	Test        string
	Elapsed     float64
	Output      string
}

// pkg is what is known of one package's run.
type pkg struct {
	tests  map[string]*test
	order  []string
	output []string // of the package itself, outside any test
	failed bool     // some test of it failed
}

type test struct {
	result string // "pass", "fail", "skip"; "" while it runs
	parent bool   // it has subtests
	output []string
}

// report keeps the account of a run and writes it to w.
type report struct {
	w              io.Writer
	packages       map[string]*pkg
	builds         map[string][]string // output of the compiler, by import path
	running        []string            // tests under way, the one that went on last at the end
	passed, failed int
}

func newReport(w io.Writer) *report {
	return &report{w: w, packages: map[string]*pkg{}, builds: map[string][]string{}}
}

// consume reads events until there are no more. After each silence of the given
// length it says what runs.
func (r *report) consume(lines <-chan string, silence time.Duration) {
	began, tick := time.Now(), time.NewTicker(silence)
	defer tick.Stop()
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return
			}
			if r.line(line) {
				tick.Reset(silence)
			}
		case <-tick.C:
			what := "building"
			if n := len(r.running); n > 0 {
				what = r.running[n-1]
			}
			_, _ = fmt.Fprintf(r.w, "...  %s (%d s so far)\n", what, int(time.Since(began).Seconds()))
		}
	}
}

// line takes one line of the stream and reports whether it wrote anything.
func (r *report) line(text string) bool {
	var e event
	if err := json.Unmarshal([]byte(text), &e); err != nil {
		_, _ = fmt.Fprintln(r.w, text) // of the go command itself
		return true
	}
	switch {
	case e.Action == "build-output":
		r.builds[e.ImportPath] = append(r.builds[e.ImportPath], e.Output)
	case e.Test != "":
		r.test(e)
	case e.Package != "":
		return r.pkg(e)
	}
	return false
}

func (r *report) test(e event) {
	p := r.of(e.Package)
	t := p.of(e.Test)
	what := e.Package + " " + e.Test
	switch e.Action {
	case "run", "cont":
		r.running = append(r.running, what)
	case "pause":
		r.leave(what)
	case "output":
		t.output = append(t.output, e.Output)
	case "pass", "fail", "skip":
		t.result = e.Action
		r.leave(what)
	}
}

// leave takes a test out of those under way.
func (r *report) leave(what string) {
	r.running = slices.DeleteFunc(r.running, func(other string) bool { return other == what })
}

func (r *report) of(name string) *pkg {
	p := r.packages[name]
	if p == nil {
		p = &pkg{tests: map[string]*test{}}
		r.packages[name] = p
	}
	return p
}

func (p *pkg) of(name string) *test {
	t := p.tests[name]
	if t != nil {
		return t
	}
	t = &test{}
	p.tests[name] = t
	p.order = append(p.order, name)
	p.markParents(name)
	return t
}

// markParents marks the tests that name is a subtest of. A subtest's own name
// may hold slashes too, so not every prefix is a test.
func (p *pkg) markParents(name string) {
	for i := range name {
		if t := p.tests[name[:i]]; t != nil && name[i] == '/' {
			t.parent = true
		}
	}
}

// pkg takes an event about a whole package.
func (r *report) pkg(e event) bool {
	p := r.of(e.Package)
	switch e.Action {
	case "output":
		p.output = append(p.output, e.Output)
		return false
	case "pass", "fail", "skip": // skip: it has no test files
		r.close(e, p)
		return true
	}
	return false
}

// close settles a package that ended and writes its line.
func (r *report) close(e event, p *pkg) {
	before := r.passed
	for _, name := range p.order {
		r.settle(e.Package, p, name)
		r.leave(e.Package + " " + name) // also what never ended
	}
	if e.Action == "fail" && !p.failed { // it did not build, or ended by itself
		r.fail(e.Package, slices.Concat(r.builds[e.FailedBuild], p.output))
		p.failed = true
	}
	delete(r.packages, e.Package)
	if e.Action == "skip" {
		return
	}
	word := "ok  "
	if p.failed {
		word = "FAIL"
	}
	_, _ = fmt.Fprintf(r.w, "%s %s  %d passed, %.1f s\n", word, e.Package, r.passed-before, e.Elapsed)
}

func (r *report) settle(in string, p *pkg, name string) {
	t := p.tests[name]
	what := in + " " + name
	switch {
	case t.result == "pass" && t.parent:
	case t.result == "pass":
		r.passed++
	case t.result == "fail" && p.childFailed(name):
		_, _ = fmt.Fprint(r.w, strings.Join(t.output, ""))
	case t.result == "fail":
		p.failed = true
		r.fail(what, t.output)
	case t.result == "skip":
		p.failed = true
		r.fail(what+" was skipped: nothing was checked", t.output)
	default: // the panic or the stacks of the timeout are in the package's output
		p.failed = true
		r.fail(what+" did not end", slices.Concat(t.output, p.output))
	}
}

func (p *pkg) childFailed(name string) bool {
	for _, other := range p.order {
		if strings.HasPrefix(other, name+"/") && p.tests[other].result != "pass" {
			return true
		}
	}
	return false
}

func (r *report) fail(what string, output []string) {
	r.failed++
	_, _ = fmt.Fprintf(r.w, "FAIL %s\n%s", what, strings.Join(output, ""))
}

// finish writes the last line and reports whether everything passed; err is how
// the go command ended.
func (r *report) finish(err error) bool {
	for _, name := range slices.Sorted(maps.Keys(r.packages)) {
		r.fail(name+" did not end", r.packages[name].output)
	}
	switch {
	case err != nil && r.failed == 0:
		r.fail("go test: "+err.Error(), nil)
	case r.passed+r.failed == 0:
		r.fail("no test was run", nil)
	}
	_, _ = fmt.Fprintf(r.w, "%d passed, %d failed\n", r.passed, r.failed)
	return r.failed == 0
}
