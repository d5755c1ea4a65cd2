package wiped_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"mintmark/internal/wiped"
)

func TestRoom(t *testing.T) {
	for _, n := range []int{0, 1, 511, 512, 513, 8 << 20} {
		if room := wiped.Room(n); len(room) != 0 || cap(room) < n || cap(room) > max(512, 2*n) {
			t.Errorf("got %d bytes in room for %d, want it empty and for all of %d", len(room), cap(room), n)
		}
	}
}

// at fills b with this process's memory at an address that nothing points to.
func at(t *testing.T, address uintptr, b []byte) []byte {
	t.Helper()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	if _, err := mem.ReadAt(b, int64(address)); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return b
}

func TestATextIsThereWhileAnyPartOfItIsHad(t *testing.T) {
	// Nothing else has this length that could get its place, and others on either side
	// keep that from being given to what has another.
	const length = 700
	read, around := make([]byte, length), make([][]byte, 64)
	for i := range around[:32] {
		around[i] = make([]byte, length)
	}
	whole := wiped.Clone(strings.Repeat("x", length))
	address := uintptr(unsafe.Pointer(unsafe.StringData(whole)))
	part := whole[length-1:]
	for i := range around[32:] {
		around[32+i] = make([]byte, length)
	}
	for range 3 {
		runtime.GC()
	}
	if got := at(t, address, read); part != "x" || string(got) != strings.Repeat("x", length) {
		t.Fatal("with a part of it in use: it was overwritten")
	}
	runtime.KeepAlive(part)
	deadline := time.Now().Add(time.Minute)
	for bytes.Contains(at(t, address, read), []byte("xx")) {
		if time.Now().After(deadline) {
			t.Fatal("nobody has it any more: it is still there")
		}
		runtime.GC()
	}
	runtime.KeepAlive(around)
}
