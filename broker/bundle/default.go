package bundle

import "time"

// setDefaults fills in what the file leaves out, as the fields document it.
func (c *Config) setDefaults(dir string) {
	for name, u := range c.Upstreams {
		fill(&u.Kind, "mcp")
		if u.Kind == "mcp" {
			fill(&u.Protocol, "auto")
			fill(&u.OtherEra, "bridge")
			fill(&u.ToolChanges, "record")
		}
		fill(&u.Timeout, Duration{time.Minute})
		for i := range u.Credentials {
			if u.Credentials[i].Scheme == "header" {
				fill(&u.Credentials[i].Template, "{token}")
			}
		}
		c.Upstreams[name] = u
	}
	fill(&c.Audit.Directory, Path(absolute(dir, "audit")))
	fill(&c.Audit.SigningKey, Path(absolute(string(c.Audit.Directory), "signing.key")))
	fill(&c.Audit.Sync, "grouped")
	fill(&c.Audit.SegmentSize, 64<<20)
	fill(&c.State, Path(absolute(string(c.Audit.Directory), "state")))
	c.Limits.setDefaults()
}

func (l *Limits) setDefaults() {
	fill(&l.Body, 4<<20)
	fill(&l.Answer, 16<<20)
	fill(&l.Header, 32<<10)
	fill(&l.Depth, 64)
	fill(&l.HeaderTime, Duration{5 * time.Second})
	fill(&l.BodyTime, Duration{30 * time.Second})
	fill(&l.Concurrent, 4096)
	fill(&l.Connections, 8192)
	fill(&l.Shutdown, Duration{10 * time.Second})
}

// fill sets *v to a default when it holds nothing.
func fill[T comparable](v *T, value T) {
	var zero T
	if *v == zero {
		*v = value
	}
}
