package broker

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics counts calls by registered names only: nothing an agent sends can
// make a new series.
type metrics struct {
	registry *prometheus.Registry
	calls    *prometheus.CounterVec
	duration *prometheus.HistogramVec
	scrubbed *prometheus.CounterVec
	reloads  *prometheus.CounterVec
	metadata *prometheus.CounterVec
	refused  *prometheus.CounterVec
	tooMany  *prometheus.CounterVec
}

func newMetrics(records, refused, owed func() float64) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mintmark_calls_total", Help: "Calls, by upstream, outcome (allow, deny, fail: allowed, without a whole answer) and the step at fault."},
			[]string{"upstream", "outcome", "step"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "mintmark_call_seconds", Help: "Time from a call's head to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}},
			[]string{"upstream", "outcome"}),
		scrubbed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mintmark_scrubbed_total", Help: "Injected secrets that an upstream sent back and that were masked."},
			[]string{"upstream"}),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mintmark_reloads_total", Help: "Bundles applied or refused."},
			[]string{"outcome"}),
		metadata: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mintmark_metadata_requests_total", Help: "Requests for OAuth metadata, which are no calls and not on record, by HTTP status."},
			[]string{"status"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mintmark_credentials_refused_total", Help: "Answers of 401 or 403 to a call with an injected credential."},
			[]string{"upstream", "provider", "status"}),
		tooMany: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mintmark_credentials_over_bound_total", Help: "Calls refused since their upstream has as many credentials as its answers are searched for, by whose bound that is: the agent's, or that of all."},
			[]string{"upstream", "bound"}),
	}
	m.registry.MustRegister(collectors.NewGoCollector(), m.calls, m.duration, m.scrubbed, m.reloads, m.metadata, m.refused, m.tooMany,
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "mintmark_records_total", Help: "Records in the audit log since start."}, records),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "mintmark_records_refused_total", Help: "Records that the audit log could not take, of failed mints among them; the record log_gap says how many are missing."}, refused),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "mintmark_unrevoked", Help: "Credentials and logins that have ended here and not yet at their system, those of a process that crashed among them."}, owed))
	return m
}

// counted are the series of the calls to one upstream that ended in one way.
type counted struct {
	calls    prometheus.Counter
	duration prometheus.Observer
}

func (m *metrics) series(name, outcome, step string) *counted {
	return &counted{m.calls.WithLabelValues(name, outcome, step), m.duration.WithLabelValues(name, outcome)}
}

// ended counts one call that ended at now. The series of allowed calls are
// looked up once for each upstream.
func (m *metrics) ended(c *call, now time.Time, outcome, step string) {
	name := ""
	u, registered := c.snap.upstreams[c.name]
	if registered {
		name = c.name
	}
	var s *counted
	if registered && outcome == "allow" && step == "" {
		if s = u.allowed.Load(); s == nil {
			s = m.series(name, outcome, step)
			u.allowed.Store(s)
		}
	} else {
		s = m.series(name, outcome, step)
	}
	s.calls.Inc()
	s.duration.Observe(now.Sub(c.started).Seconds())
}

// masked counts secrets that an upstream sent back. They are in an answer to a call
// that was allowed, so that its upstream is registered.
func (m *metrics) masked(c *call, hits int) { m.scrubbed.WithLabelValues(c.name).Add(float64(hits)) }

// adminHandler serves /metrics, /healthz (the process answers) and /readyz
// (it can also serve calls).
func (b *Broker) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(b.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := b.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
		if n := b.owed(); n > 0 { // no reason to refuse calls
			_, _ = fmt.Fprintf(w, "%d credentials or logins are not revoked at their system yet; see the log\n", n)
		}
	})
	return mux
}

// owed returns how many credentials have ended here and not at their system.
func (b *Broker) owed() int { return b.siblings.Owed() + int(b.late.Load()) }

// ready returns why calls can't be served now, or nil.
func (b *Broker) ready() error {
	if b.draining.Load() {
		return errors.New("the broker is stopping")
	}
	if err := b.log.Err(); err != nil {
		return fmt.Errorf("the audit log can't be written; calls are refused: %w", err)
	}
	if !b.trust.HasIdentity() {
		return nil
	}
	svid, err := b.trust.GetX509SVID()
	if err != nil || !b.clock().Before(svid.Certificates[0].NotAfter) {
		return errors.New("the broker's own X.509-SVID is missing or has expired")
	}
	return nil
}
