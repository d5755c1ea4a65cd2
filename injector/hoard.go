package injector

import "mintmark/internal/wiped"

// hoard moves texts to memory that is overwritten once nobody can reach any of them any
// more: not the Secrets that they are forms of, no Needles, no answer that is still
// searched. What they were in before is overwritten now.
func hoard(texts ...*[]byte) {
	total := 0
	for _, text := range texts {
		total += len(*text)
	}
	if total == 0 {
		return
	}
	room := wiped.Room(total)
	for _, text := range texts {
		at := len(room)
		room = append(room, *text...)
		clear((*text)[:cap(*text)])
		*text = room[at:len(room):len(room)]
	}
}
