package injector

import (
	"math/bits"
	"reflect"
	"runtime"
)

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
		at := len(room)
		room = append(room, *text...)
		clear((*text)[:cap(*text)])
		*text = room[at:len(room):len(room)]
	}
}

// roomFor returns empty room for n bytes at least, which is overwritten when nobody can
// reach any of it. The collector tells of the end of an array, not of a slice, and each
// length of one is a type, which stays for ever: so the lengths are powers of two.
func roomFor(n int) []byte {
	length := 1 << max(9, bits.Len(uint(n-1)))
	array := reflect.New(reflect.ArrayOf(length, reflect.TypeFor[byte]()))
	runtime.SetFinalizer(array.Interface(), func(ended any) { clear(reflect.ValueOf(ended).Elem().Bytes()) })
	return array.Elem().Bytes()[:0]
}
