package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The targets that can be measured, in the order in which they are.
const (
	direct           = "direct"
	reverseProxy     = "reverseproxy"      // as it comes: keeps two connections to the upstream, opens others for one call
	reverseProxyKept = "reverseproxy-kept" // keeps all
	nginx            = "nginx"             // as it comes: a connection to the upstream for each call
	nginxKept        = "nginx-kept"        // keeps them
	mintmark         = "mintmark"
)

func ownTargets() []string {
	return []string{direct, reverseProxy, reverseProxyKept, nginx, nginxKept, mintmark}
}

// options are what a run is to be like.
type options struct {
	mintmark string // the binary
	only     []string
	others   []other

	json, quick, tls, sse, cold, decide, keep bool

	rounds      int
	duration    time.Duration
	concurrency int
	rate        float64
	body        int
	policies    int
	agents      int

	directory      string
	upstreamAddr   string
	upstreamBearer string
}

// other is a gateway that somebody put beside ours.
type other struct {
	name string
	url  *url.URL
	// headers are sent to every such gateway.
	headers []string
}

const usage = `mintbench measures what Mintmark costs on this machine.

It starts, each as its own process on loopback: an upstream that answers MCP
tool calls, a Go reverse proxy that only sets one header, nginx doing the same
(if it is installed), and Mintmark with everything on: agents attested by
JWT-SVID, posture read, Cedar policies, a leased credential injected, a durable
record, answers scrubbed. It sends all of them the same calls, in turns, checks
every answer, and prints medians over the rounds. At the end it stops Mintmark,
reads its record back, and fails unless every call is in it and it verifies.

The reverse proxy and nginx are measured in two forms each:
  reverseproxy       as it comes: it keeps two connections to the upstream, and
                     opens and closes one for most calls
  reverseproxy-kept  keeps as many connections to the upstream as there are calls
  nginx              as it comes: a connection to the upstream for each call
  nginx-kept         keeps its connections to the upstream
Mintmark keeps its connections. Clients keep theirs to every target.

The load, the upstream and what is measured share this machine's processors:
the figures compare with one another, not with those of another machine.

  mintbench                       everything, less than 11 minutes
  mintbench -quick                the same in less than a minute, noisier
  mintbench -json                 one JSON object, last on the standard output
  mintbench -only direct,mintmark -policies 10000 -agents 1000
  mintbench -sse -body 65536      streamed answers, large calls
  mintbench -cold                 what the first call with a credential costs, and
                                  the token request in it by itself

To put another gateway beside these, point it at a fixed upstream and bearer:

  mintbench -upstream 127.0.0.1:9901 -upstream-bearer s3cr3t \
    -target theirs=http://127.0.0.1:8080/mcp -target-header 'X-Api-Key: k'

Flags:
`

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	var headers []string
	f := flag.NewFlagSet("mintbench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.Usage = func() { fmt.Fprint(stderr, usage); f.PrintDefaults() }
	o.flags(f, &headers)
	if err := f.Parse(args); err != nil {
		return options{}, err
	}
	o.shorten(f)
	for i := range o.others {
		o.others[i].headers = headers
	}
	err := o.check(f.Args())
	if err != nil {
		fmt.Fprintf(stderr, "mintbench: %v; see mintbench -help\n", err)
	}
	return o, err
}

func (o *options) flags(f *flag.FlagSet, headers *[]string) {
	f.StringVar(&o.mintmark, "mintmark", beside("mintmark"), "the mintmark `binary`")
	f.BoolVar(&o.json, "json", false, "print one JSON object instead of a table")
	f.BoolVar(&o.quick, "quick", false, "3 short rounds instead of 5, less than 50 s in all; -kept targets without TLS and on many connections only")
	f.BoolVar(&o.tls, "tls", true, "measure TLS and mTLS too")
	f.BoolVar(&o.sse, "sse", false, "answers are streams of one event instead of JSON")
	f.BoolVar(&o.cold, "cold", false, "measure the first call with each of 50 credentials too, in turn with a token request by itself")
	f.BoolVar(&o.decide, "decide", true, "time decisions among 10 and 10,000 policies too")
	f.BoolVar(&o.keep, "keep", false, "leave the directory of the run for inspection")
	f.IntVar(&o.rounds, "rounds", 5, "`number` of rounds; the figures are medians over them")
	f.DurationVar(&o.duration, "duration", 3*time.Second, "`time` for one target and load in one round")
	f.IntVar(&o.concurrency, "c", 16, "`connections` that are kept busy for the figures in calls a second")
	f.Float64Var(&o.rate, "rate", 1000, "`calls` a second of the open loop")
	f.IntVar(&o.body, "body", 200, "`bytes` of each call's argument; try 1024, 65536")
	f.IntVar(&o.policies, "policies", 1000, "`number` of generated policies")
	f.IntVar(&o.agents, "agents", 16, "`number` of agents, each with its own token")
	f.StringVar(&o.directory, "dir", "", "parent `directory` of what the run writes, Mintmark's record first of all (default the system's)")
	f.StringVar(&o.upstreamAddr, "upstream", "", "`address` for the upstream instead of a free port")
	f.StringVar(&o.upstreamBearer, "upstream-bearer", "", "`token` that the upstream demands instead of a random one")
	f.Func("only", "`names` of the targets to measure: "+strings.Join(ownTargets(), ",")+" (default all)", o.addOnly)
	f.Func("target", "`name=URL` of another gateway to measure; repeatable", o.addOther)
	f.Func("target-header", "`header` to send to other gateways, as \"Name: value\"; repeatable", func(s string) error {
		*headers = append(*headers, s)
		return checkHeader(s)
	})
}

// beside returns the path of a program in the directory of this one.
func beside(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(self), name)
}

func (o *options) addOnly(names string) error {
	for name := range strings.SplitSeq(names, ",") {
		if !slices.Contains(ownTargets(), name) {
			return fmt.Errorf("got %q, want names among %s", name, strings.Join(ownTargets(), ", "))
		}
		o.only = append(o.only, name)
	}
	return nil
}

func (o *options) addOther(s string) error {
	name, rest, found := strings.Cut(s, "=")
	u, err := url.Parse(rest)
	if !found || name == "" || err != nil || u.Scheme != "http" || u.Port() == "" {
		return errors.New("want name=http://host:port/path")
	}
	o.others = append(o.others, other{name: name, url: u})
	return nil
}

func checkHeader(s string) error {
	if name, _, found := strings.Cut(s, ": "); !found || name == "" || strings.ContainsAny(s, "\r\n") {
		return errors.New(`want "Name: value"`)
	}
	return nil
}

// shorten applies -quick to what was not set by its own flag.
func (o *options) shorten(f *flag.FlagSet) {
	set := map[string]bool{}
	f.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if o.quick && !set["rounds"] {
		o.rounds = 3
	}
	if o.quick && !set["duration"] {
		o.duration = 400 * time.Millisecond
	}
}

func (o *options) check(rest []string) error {
	for _, n := range []struct {
		flag       string
		value, min int
	}{{"-rounds", o.rounds, 1}, {"-c", o.concurrency, 1}, {"-agents", o.agents, 1}, {"-policies", o.policies, minPolicies}, {"-body", o.body, 0}} {
		if n.value < n.min {
			return fmt.Errorf("%s: got %d, want at least %d", n.flag, n.value, n.min)
		}
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("got %q, want flags only", rest)
	case o.duration <= 0 || o.rate <= 0:
		return errors.New("-duration and -rate: want more than 0")
	case strings.ContainsAny(o.upstreamBearer, " \r\n"):
		return errors.New("-upstream-bearer: want a token without spaces")
	}
	return nil
}

// measures reports whether a target is to be measured.
func (o *options) measures(name string) bool {
	return len(o.only) == 0 || slices.Contains(o.only, name)
}

// measured returns those of the targets that are to be measured.
func (o *options) measured(names ...string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return !o.measures(name) })
}

// briefly reports whether a target is measured in plaintext and on many connections only,
// for want of time.
func (o *options) briefly(name string) bool {
	return o.quick && (name == reverseProxyKept || name == nginxKept)
}

// rousing returns for how long a target works before a load, for nothing that counts. In a
// quick run there is time for it before the calls that are counted by the second alone.
func (o *options) rousing(l string) time.Duration {
	switch {
	case !o.quick:
		return o.duration / 3
	case l == closedLoop:
		return o.duration / 2
	}
	return 0
}
