package injector

import "runtime"

// hoard moves texts to memory of their own, which is overwritten once nobody can reach
// any of them any more: not the Secrets that they are forms of, no Needles, no answer
// that is still searched. What they were in before is overwritten now. That the
// collector tells when, and no count of users, means that no search can find its texts
// gone; they are overwritten after the next collection, which comes every two minutes
// at the latest.
func hoard(texts ...*[]byte) {
	total := 0
	for _, text := range texts {
		total += len(*text)
	}
	if total == 0 {
		return
	}
	room := roomFor(total)
	for _, text := range texts {
		if cap(room)-len(room) < len(*text) {
			room = roomFor(len(*text))
		}
		at := len(room)
		room = append(room, *text...)
		clear((*text)[:cap(*text)])
		*text = room[at:len(room):len(room)]
	}
}

// roomFor returns empty room for n bytes, or the most that there is. The collector
// tells of the end of a whole object alone, and the length of one is of its type.
func roomFor(n int) []byte {
	switch {
	case n <= 1<<9:
		return watched(new([1 << 9]byte), func(a *[1 << 9]byte) []byte { return a[:] })
	case n <= 1<<10:
		return watched(new([1 << 10]byte), func(a *[1 << 10]byte) []byte { return a[:] })
	case n <= 1<<11:
		return watched(new([1 << 11]byte), func(a *[1 << 11]byte) []byte { return a[:] })
	case n <= 1<<12:
		return watched(new([1 << 12]byte), func(a *[1 << 12]byte) []byte { return a[:] })
	case n <= 1<<13:
		return watched(new([1 << 13]byte), func(a *[1 << 13]byte) []byte { return a[:] })
	case n <= 1<<14:
		return watched(new([1 << 14]byte), func(a *[1 << 14]byte) []byte { return a[:] })
	case n <= 1<<15:
		return watched(new([1 << 15]byte), func(a *[1 << 15]byte) []byte { return a[:] })
	case n <= 1<<17:
		return watched(new([1 << 17]byte), func(a *[1 << 17]byte) []byte { return a[:] })
	}
	return watched(new([longestForm]byte), func(a *[longestForm]byte) []byte { return a[:] })
}

// longestForm is as long as a secret of 64 KiB in any one form: JSON writes a character
// in six.
const longestForm = 6<<16 + 1<<10

// watched returns empty room in a, which is overwritten when nobody can reach it.
func watched[A any](a *A, whole func(*A) []byte) []byte {
	runtime.SetFinalizer(a, func(a *A) { clear(whole(a)) })
	return whole(a)[:0]
}
