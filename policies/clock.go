package policies

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/cedar-policy/cedar-go/types"
)

// clock gives the wall clocks of the registered time zones as one record. It
// changes once a minute, so the last record is kept. Which record is kept never
// changes an answer: each says for which seconds it is true.
type clock struct {
	zones map[string]*time.Location
	last  *atomic.Pointer[reading] // a pointer, so that clock can be copied
}

// reading is what all clocks show from the Unix second from until before until.
type reading struct {
	from, until int64
	record      types.Record
}

func newClock(zones map[string]*time.Location) clock {
	return clock{zones: zones, last: &atomic.Pointer[reading]{}}
}

// reading returns what the clocks show at now.
func (c clock) reading(now time.Time) *reading {
	sec := now.Unix()
	if r := c.last.Load(); r != nil && r.from <= sec && sec < r.until {
		return r
	}
	r := c.read(now)
	c.last.Store(r)
	return r
}

func (c clock) read(now time.Time) *reading {
	sec := now.Unix()
	out := &reading{from: sec, until: sec + 60}
	all := types.RecordMap{}
	lead := int64(59)
	for name, zone := range c.zones {
		local := now.In(zone)
		all[types.String(name)] = zoneRecord(local)
		// Zones need not share the start of a minute, and one may switch within it.
		out.until = min(out.until, sec+60-int64(local.Second()))
		lead = min(lead, int64(local.Second()))
		start, end := local.ZoneBounds()
		if !end.IsZero() {
			out.until = min(out.until, end.Unix())
		}
		if !start.IsZero() {
			lead = min(lead, sec-start.Unix())
		}
	}
	out.from = sec - lead
	out.record = types.NewRecord(all)
	return out
}

func zoneRecord(local time.Time) types.Record {
	hour, minute := local.Hour(), local.Minute()
	return types.NewRecord(types.RecordMap{
		"weekday":       types.String(weekdays()[local.Weekday()]),
		"hour":          types.Long(hour),
		"minute":        types.Long(minute),
		"minute_of_day": types.Long(60*hour + minute),
		"date":          types.String(local.Format(time.DateOnly)),
	})
}

// weekdays are the names policies use, from Sunday as in time.Weekday.
func weekdays() []string {
	out := make([]string, 7)
	for d := range out {
		out[d] = strings.ToLower(time.Weekday(d).String())
	}
	return out
}
