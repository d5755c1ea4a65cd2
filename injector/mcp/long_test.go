package mcp

import (
	"fmt"
	"strings"
	"testing"
)

// readWhole is Read, with everything for the decoder.
func readWhole(r *Reader, body []byte) (Message, error) {
	if err := checkShape(body, r.depth); err != nil {
		return Message{}, err
	}
	return new(decoder).read(body, body)
}

// sameReading fails where leaving text out makes a difference.
func sameReading(t *testing.T, r *Reader, body string) {
	t.Helper()
	got, err := r.Read([]byte(body))
	want, wantErr := readWhole(r, []byte(body))
	if fmt.Sprintf("%q %v", got, err) != fmt.Sprintf("%q %v", want, wantErr) {
		t.Errorf("%.80q… of %d bytes\n got %.200q %v\nwant %.200q %v", body, len(body), got, err, want, wantErr)
	}
	if _, whole := (&decoder{}).read([]byte(body), []byte(body)); whole != nil && err == nil {
		t.Errorf("%.80q…: got a message, want %v", body, whole)
	}
}

// What is left out of a long message is found again, and changes nothing of what is
// refused: here each of many characters stands at each end of what is left out.
func TestLongStringsAreReadAsTheyAre(t *testing.T) {
	r := NewReader(64)
	long := strings.Repeat("x", 4000)
	message := func(arguments string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":` + arguments + `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}} `
	}
	for _, s := range []string{
		`\n`, `\"`, `\\`, `\/`, `\u0041`, `\u00e9`, `\uFFFF`, `\ud83d\ude00`, `\ud83d`, `\ude00`, `\uD7ff`, `\uE000`, `\ud83dx`, `\u12`, `\u12g4`, `\x`, `\`, `"`, `","b":"`,
		"\x00", "\n", "\x1f", " ", "\x7f", "é", "😀", "\u2028", "\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\ufffd", `"}`, `":"`, `" :1,"b":"`, `" "`,
	} {
		for _, text := range []string{s + long, long + s, long + s + long, s + long + s, strings.Repeat(s, 2000)} {
			sameReading(t, r, message(`{"text":"`+text+`"}`))
			sameReading(t, r, message(`["`+text+`","`+text+`"]`))
			sameReading(t, r, message(`{"`+text+`":1,"`+text+`":2}`))
			sameReading(t, r, message(`{"`+text+`a":"`+text+`","`+text+`b":2}`))
			sameReading(t, r, message(`"`+text+`"`)+`"`+text+`"`)
			sameReading(t, r, `{"jsonrpc":"2.0","id":"`+text+`","method":"ping"}`)
			sameReading(t, r, `{"jsonrpc":"2.0","id":1,"method":"`+text+`"}`)
			sameReading(t, r, `{"jsonrpc":"2.0","id":1,"`+text+`":2,"method":"ping"}`)
			sameReading(t, r, `{"jsonrpc":"2.0","id":1,"result":"`+text+`","method":"`)
			sameReading(t, r, `"`+text+`"`)
			sameReading(t, r, text)
		}
	}
	for size := range 64 { // around each word of eight bytes
		for _, c := range []string{`\n`, "\x1f", "\x80", `"`, "é"} {
			sameReading(t, r, message(`{"text":"`+long+strings.Repeat("y", size)+c+`","n":1}`))
		}
	}
}

// The decoder is given a part of a long message, and gives back the values of the
// whole.
func TestShorten(t *testing.T) {
	long := strings.Repeat(`text of \"64 KiB\"\n é`, 4<<10)
	arguments := `{"text":"` + long + `","more":["` + long + `\ud83d\ude00"]}`
	body := []byte(`{"jsonrpc":"2.0","id":"7","method":"tools/call","params":{"arguments":` + arguments + `,"name":"read"}}`)
	short, gaps := shorten(nil, nil, body)
	if want := strings.ReplaceAll(string(body), long, ""); string(short) != want || len(gaps) != 2 {
		t.Errorf("got %.300q and %v, want %q", short, gaps, want)
	}
	m, err := NewReader(64).Read(body)
	if err != nil || string(m.Arguments) != arguments || string(m.ID) != `"7"` || m.Target != "read" || string(m.Raw) != string(body) {
		t.Errorf("got %.200q, %v", m, err)
	}
}

// FuzzLong holds the reading of what has long strings against that by the decoder
// alone.
func FuzzLong(f *testing.F) {
	for _, s := range []string{`","b":"`, `\ud83d`, "\xff", `\`, `x":"`, ``} {
		f.Add(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"text":"`, s, `"}}}`)
	}
	r := NewReader(64)
	f.Fuzz(func(t *testing.T, before, between, after string) {
		long := strings.Repeat("x", longMessage)
		sameReading(t, r, before+long+between+long+after)
		if len(between) > 0 {
			sameReading(t, r, before+strings.Repeat(between, longMessage/len(between)+1)+after)
		}
	})
}

func BenchmarkReadLong(b *testing.B) {
	for name, text := range map[string]string{"plain": "x", "lines": "some text with a line's end\\n", "of Chinese": "文字"} {
		body := []byte(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"query","arguments":{"text":"` + strings.Repeat(text, (64<<10)/len(text)) + `"}}}`)
		for kind, read := range map[string]func(*Reader, []byte) (Message, error){"read": (*Reader).Read, "decoder": readWhole} {
			b.Run(name+"/"+kind, func(b *testing.B) {
				r := NewReader(64)
				b.SetBytes(int64(len(body)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := read(r, body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
