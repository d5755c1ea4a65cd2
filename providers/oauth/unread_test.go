package oauth

import (
	"bytes"
	"strings"
	"testing"
)

// What was kept of an answer has a token in it, in the room that it grew out of too.
func TestWhatWasReadIsWiped(t *testing.T) {
	var u unread
	for _, piece := range []string{`{"access_token":"canary"`, strings.Repeat(" ", 5000), "}"} {
		before := u.answer
		if n, err := u.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
		if len(before) > 0 && &before[0] != &u.answer[0] && bytes.Contains(before, []byte("canary")) {
			t.Error("the room that it grew out of has the token in it")
		}
	}
	if got := u.token(); got == nil || got.AccessToken != "canary" {
		t.Errorf("got %v, want the token", got)
	}
	u.wipe()
	if u.token() != nil || bytes.Contains(u.answer[:cap(u.answer)], []byte("canary")) {
		t.Error("the token is there after the wipe")
	}
}
