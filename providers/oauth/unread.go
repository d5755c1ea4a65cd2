package oauth

import (
	"io"

	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"
)

// unread keeps a good answer while it is read, since of one that is at fault the library
// gives no token: the server issued it all the same.
type unread struct{ answer []byte }

// Write keeps what was read.
func (u *unread) Write(b []byte) (int, error) {
	if len(u.answer)+len(b) > cap(u.answer) {
		larger := append(make([]byte, 0, max(4<<10, 2*(len(u.answer)+len(b)))), u.answer...)
		u.wipe()
		u.answer = larger
	}
	u.answer = append(u.answer, b...)
	return len(b), nil
}

// wipe overwrites what was kept.
func (u *unread) wipe() { clear(u.answer) }

// body is an answer's, as much of which is kept as was read.
type body struct {
	io.Reader
	io.Closer
}

func (u *unread) keep(answer io.ReadCloser) io.ReadCloser {
	return body{io.TeeReader(answer, u), answer}
}

// token returns what was issued in an answer that the library refused, or nil. Its end is
// known to nobody.
func (u *unread) token() *oauth2.Token {
	var said struct {
		Token string `json:"access_token"`
		Next  string `json:"refresh_token"`
	}
	_ = json.Unmarshal(u.answer, &said) // what was read before the fault stays
	if said.Token == "" {
		return nil
	}
	return (&oauth2.Token{AccessToken: said.Token, RefreshToken: said.Next}).WithExtra(map[string]any{"expires_in": "unread"})
}
