package injector

import (
	"cmp"
	"slices"
)

// spans are what is to be masked of an answer: apart from each other, and in its order, so
// that what a line has of them behind it costs nothing where it is given out byte by byte.
type spans []span

// add adds more, which may overlap, and which it sorts.
func (s *spans) add(more []span) {
	if len(more) == 0 {
		return
	}
	slices.SortFunc(more, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	first := len(*s)
	for first > 0 && (*s)[first-1].to >= more[0].from {
		first--
	}
	after := slices.Clone((*s)[first:])
	all := (*s)[:first]
	for len(after) > 0 || len(more) > 0 {
		next := &more
		if len(more) == 0 || len(after) > 0 && after[0].from <= more[0].from {
			next = (*[]span)(&after)
		}
		one := (*next)[0]
		*next = (*next)[1:]
		if n := len(all); n > 0 && all[n-1].to >= one.from {
			all[n-1].to = max(all[n-1].to, one.to)
		} else {
			all = append(all, one)
		}
	}
	*s = all
}

// mask masks text, which begins at a place in the answer, and forgets what ends with it.
// It returns how many it looked at.
func (s *spans) mask(text []byte, at int64) (looked int) {
	end, over := at+int64(len(text)), 0
	for _, one := range *s {
		if looked++; one.from >= end {
			break
		}
		blank(text, int(one.from-at), int(one.to-at))
		if one.to <= end {
			over++
		}
	}
	if over == len(*s) {
		*s = (*s)[:0]
	} else {
		*s = (*s)[over:]
	}
	return looked
}
