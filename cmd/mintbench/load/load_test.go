package load_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mintmark/cmd/mintbench/load"
)

// reply is a server's answer to its n-th call, from 0: the status and the body.
type reply func(n int64, id string) (int, string)

func good(_ int64, id string) (int, string) {
	return 200, `{"jsonrpc":"2.0","id":` + id + `,"result":{"text":"` + load.Marker + `"}}`
}

// target is a server in memory, so that its time can be a test's.
func target(answer reply) *load.Target {
	var calls atomic.Int64
	n := load.NewNumbers()
	return &load.Target{
		Name:    "fake",
		Numbers: n,
		Calls:   []load.Template{load.Call{Host: "fake", Path: "/mcp", Tool: "echo", Text: 10}.Template(n)},
		Dial: func(context.Context) (net.Conn, error) {
			client, server := net.Pipe()
			go serve(server, &calls, answer)
			return client, nil
		},
	}
}

func serve(c net.Conn, calls *atomic.Int64, answer reply) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(req.Body)
		status, text := answer(calls.Add(1)-1, idOf(body))
		if status == 0 {
			return
		}
		fmt.Fprintf(c, "HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s", status, len(text), text)
	}
}

func idOf(body []byte) string {
	_, rest, _ := bytes.Cut(body, []byte(`"id":`))
	id, _, _ := bytes.Cut(rest, []byte(","))
	return string(id)
}

// after waits in the bubble's time.
func after(d time.Duration) { <-time.After(d) }

func TestClosedCountsEachAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := target(func(n int64, id string) (int, string) {
			after(10 * time.Millisecond)
			return good(n, id)
		})
		got, err := load.Closed(t.Context(), server, 4, time.Second)
		if err != nil || got.Err() != nil {
			t.Fatal(err, got.Err())
		}
		if got.Answered != 400 || server.Numbers.Count() != 400 {
			t.Errorf("got %d answers to %d calls, want 4 connections x 100", got.Answered, server.Numbers.Count())
		}
		if r := got.Rate(); r < 399 || r > 401 {
			t.Errorf("got %.1f calls a second, want 400", r)
		}
		near(t, got.Quantile(.5), 10*time.Millisecond)
	})
}

func near(t *testing.T, got, want time.Duration) {
	t.Helper()
	if diff := (got - want).Abs(); diff > want/100 {
		t.Errorf("got %v, want %v within 1%%", got, want)
	}
}

// TestWrongAnswers holds the generator to what makes its figures worth having:
// whatever is not the answer to the very call counts as an error.
func TestWrongAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer reply
		shows  string
	}{
		{"another status", func(n int64, id string) (int, string) { _, b := good(n, id); return 403, b }, "status 403"},
		{"an error under status 200", func(_ int64, id string) (int, string) {
			return 200, `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":-31403,"message":"denied"}}`
		}, "denied"},
		{"the answer to another call", func(n int64, _ string) (int, string) { return good(n, "100000099999") }, "100000099999"},
		{"an empty body", func(int64, string) (int, string) { return 200, "" }, load.Marker},
		{"the end of the connection", func(int64, string) (int, string) { return 0, "" }, "read answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := target(func(n int64, id string) (int, string) {
					after(time.Millisecond)
					if n == 5 {
						return c.answer(n, id)
					}
					return good(n, id)
				})
				got, err := load.Closed(t.Context(), server, 1, 20*time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				if got.Wrong != 1 || got.Answered != server.Numbers.Count()-1 {
					t.Errorf("got %d wrong and %d right of %d, want 1 wrong", got.Wrong, got.Answered, server.Numbers.Count())
				}
				if err := got.Err(); err == nil || !strings.Contains(err.Error(), c.shows) {
					t.Errorf("got %v, want an error with %q", err, c.shows)
				}
				for n := range server.Numbers.Count() {
					if server.Numbers.Answered(n) == (n == 5) {
						t.Errorf("call %d: got answered %v", n, n == 5)
					}
				}
			})
		})
	}
}

// TestServerThatEndsConnections: one that says so gets a new connection for
// the next call, and nothing counts as wrong.
func TestServerThatEndsConnections(t *testing.T) {
	server := target(good)
	var dials atomic.Int64
	server.Dial = func(context.Context) (net.Conn, error) {
		dials.Add(1)
		client, conn := net.Pipe()
		go once(conn)
		return client, nil
	}
	c, err := load.NewCaller(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.Next(t.Context())
	}
	if got := c.Finish(); got.Err() != nil || got.Answered != 3 || dials.Load() != 3 {
		t.Errorf("got %d answers on %d connections, %v, want 3 on 3", got.Answered, dials.Load(), got.Err())
	}
}

// TestCallerTakesEachCallInTurn: what it says of a call is that call's own time, and
// the time between two is nobody's.
func TestCallerTakesEachCallInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := target(func(n int64, id string) (int, string) {
			after(time.Duration(n+1) * time.Second)
			return good(n, id)
		})
		c, err := load.NewCaller(t.Context(), server)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 3 {
			near(t, c.Next(t.Context()), time.Duration(n+1)*time.Second)
			after(time.Second / 2)
		}
		got := c.Finish()
		if got.Err() != nil || got.Answered != 3 || c.Target() != server {
			t.Errorf("got %d answers, %v, of %s, want 3 of the target's", got.Answered, got.Err(), c.Target().Name)
		}
		near(t, got.Elapsed, 6*time.Second)
	})
}

// once answers one call and ends the connection, as it says.
func once(c net.Conn) {
	defer c.Close()
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	body, _ := io.ReadAll(req.Body)
	_, text := good(0, idOf(body))
	fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
}

func TestNoAnswerIsAnError(t *testing.T) {
	var none load.Result
	if none.Err() == nil {
		t.Error("got no error from a load without an answer")
	}
}

func TestServerThatOnlyFailsEndsTheLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := target(func(int64, string) (int, string) { return 500, "" })
		start := time.Now()
		got, err := load.Closed(t.Context(), server, 2, time.Hour)
		if err != nil || got.Wrong != 20 {
			t.Errorf("got %d wrong, %v, want 10 of each of 2 connections", got.Wrong, err)
		}
		if time.Since(start) > time.Minute {
			t.Errorf("took %v", time.Since(start))
		}
	})
}

func TestUnreachable(t *testing.T) {
	server := target(good)
	server.Dial = func(context.Context) (net.Conn, error) { return nil, errors.New("nobody there") }
	if _, err := load.Closed(t.Context(), server, 3, time.Second); err == nil || !strings.Contains(err.Error(), "fake: connect: nobody there") {
		t.Errorf("got %v, want the target and the cause", err)
	}
}

// TestOpenLoopHidesNoStall: a server that stands still for a second in the
// middle of two makes every call wait that was due meanwhile, also those that
// could not be sent yet.
func TestOpenLoopHidesNoStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		server := target(func(n int64, id string) (int, string) {
			if at := time.Since(start); at >= 500*time.Millisecond && at < 1500*time.Millisecond {
				after(1500*time.Millisecond - at)
			}
			return good(n, id)
		})
		o := load.OpenLoop{Rate: 100, Length: 2 * time.Second, Connections: 1, Pause: after}
		got, err := o.Run(t.Context(), server)
		if err != nil || got.Err() != nil {
			t.Fatal(err, got.Err())
		}
		if got.Answered != 200 {
			t.Errorf("got %d answers, want 200", got.Answered)
		}
		// 100 of 200 calls were due in the stall, and waited 0 to 1 s.
		if q := got.Quantile(.75); q < 450*time.Millisecond || q > 550*time.Millisecond {
			t.Errorf("got 75th percentile %v, want half a second", q)
		}
		if q := got.Quantile(.4); q > 10*time.Millisecond {
			t.Errorf("got 40th percentile %v, want next to nothing", q)
		}
	})
}

// TestOpenLoopBeginsWithConnectionsThatWereUsed: what a server takes for the first call
// on a connection is no part of what calls at a rate take.
func TestOpenLoopBeginsWithConnectionsThatWereUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := target(func(n int64, id string) (int, string) {
			if n < 10 {
				after(time.Second)
			}
			return good(n, id)
		})
		o := load.OpenLoop{Rate: 100, Length: time.Second, Connections: 10, Pause: after}
		got, err := o.Run(t.Context(), server)
		if err != nil || got.Err() != nil || got.Answered != 100 || server.Numbers.Count() != 110 {
			t.Errorf("got %d of %d answers, %v, %v, want 100 of 110", got.Answered, server.Numbers.Count(), err, got.Err())
		}
		if q := got.Quantile(1); q > 10*time.Millisecond {
			t.Errorf("got %v for the slowest call, want next to nothing", q)
		}
	})
}

func TestOpenLoopCountsWhatItCouldNotSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := target(func(n int64, id string) (int, string) {
			after(time.Second)
			return good(n, id)
		})
		o := load.OpenLoop{Rate: 100, Length: time.Second, Connections: 1, Pause: after}
		got, err := o.Run(t.Context(), server)
		if err != nil || got.Answered+got.Wrong != 100 || got.Wrong < 90 {
			t.Errorf("got %d right, %d wrong, %v, want 100 calls, most of them never sent", got.Answered, got.Wrong, err)
		}
	})
}

func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		got, err := load.Burst(t.Context(), target(good), 100)
		if err != nil || got.Err() != nil || got.Answered != 100 {
			t.Errorf("got %d answers, %v, %v, want 100", got.Answered, err, got.Err())
		}
	})
}

// TestNumbersAreInTheCall checks that a record can be joined to its call.
func TestNumbersAreInTheCall(t *testing.T) {
	seen := make(chan *http.Request, 100)
	server := target(good)
	server.Dial = func(context.Context) (net.Conn, error) {
		client, conn := net.Pipe()
		go func() {
			r := bufio.NewReader(conn)
			for {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				body, _ := io.ReadAll(req.Body)
				seen <- req
				_, text := good(0, idOf(body))
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
			}
		}()
		return client, nil
	}
	if got, err := load.Burst(t.Context(), server, 20); err != nil || got.Err() != nil {
		t.Fatal(err, got.Err())
	}
	found := map[uint64]bool{}
	for range 20 {
		trace := (<-seen).Header.Get("Traceparent")
		n, ok := server.Numbers.Of(trace[3:35])
		if !ok || found[n] {
			t.Errorf("got %q: number %d, %v, seen before %v", trace, n, ok, found[n])
		}
		found[n] = true
	}
	if _, ok := load.NewNumbers().Of("0123456789abcdef" + "0000000000000000"); ok {
		t.Error("got a number from the trace of a stranger")
	}
}

func TestHeldStreams(t *testing.T) {
	release := make(chan struct{})
	server := target(nil)
	server.Dial = func(context.Context) (net.Conn, error) {
		client, conn := net.Pipe()
		go stream(conn, release)
		return client, nil
	}
	held, err := load.Hold(t.Context(), server, 30)
	if err != nil {
		t.Fatal(err)
	}
	close(release)
	got := held.Finish()
	if got.Err() != nil || got.Answered != 30 {
		t.Errorf("got %d answers, %v, want 30", got.Answered, got.Err())
	}
}

func stream(c net.Conn, release <-chan struct{}) {
	defer c.Close()
	req, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}
	body, _ := io.ReadAll(req.Body)
	io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	chunk(c, `data: {"method":"`+load.Progress+"\"}\n\n")
	<-release
	_, text := good(0, idOf(body))
	chunk(c, "data: "+text+"\n\n")
	io.WriteString(c, "0\r\n\r\n")
}

func chunk(w io.Writer, s string) {
	io.WriteString(w, strconv.FormatInt(int64(len(s)), 16)+"\r\n"+s+"\r\n")
}

func TestHoldNeedsAStream(t *testing.T) {
	if _, err := load.Hold(t.Context(), target(good), 1); err == nil || !strings.Contains(err.Error(), "want 200 and a stream") {
		t.Errorf("got %v, want an error", err)
	}
}
