// Package wiped gives memory that is overwritten once nobody can reach any of it any
// more. That the collector tells when, and no count of users, means that nobody who
// still has a part of it can find it gone; and that it is overwritten after the next
// collection, which comes every two minutes at the latest.
package wiped

import (
	"math/bits"
	"reflect"
	"runtime"
	"unsafe"
)

// least is the smallest piece, in bytes: the collector tells of the end of an array,
// which a smaller one could share with others.
const least = 512

// Room returns empty room for n bytes at least. Appending beyond its capacity moves
// what is in it to other memory.
func Room(n int) []byte {
	// The collector tells of the end of an array, not of a slice, and each length of
	// one is a type, which stays for ever: so the lengths are powers of two.
	length := max(least, 1<<bits.Len(uint(max(n, 1)-1)))
	array := reflect.New(reflect.ArrayOf(length, reflect.TypeFor[byte]()))
	runtime.SetFinalizer(array.Interface(), func(ended any) { clear(reflect.ValueOf(ended).Elem().Bytes()) })
	return array.Elem().Bytes()[:0]
}

// Clone returns a copy of text in such memory.
func Clone(text string) string { return String(append(Room(len(text)), text...)) }

// String returns the text in b, without a copy. Nobody writes to b after it.
func String(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
