package mcp

// maxMembers is how many members the objects may have that are open at one place
// of a message: the names of all of them are kept until then, to find one that
// stands twice. Each takes some 125 bytes, and as much again while room for them
// grows: 65,500 short ones take 21 MiB in all.
const maxMembers = maxElements

// deepest is where the decoder ends, whatever a message holds.
const deepest = 10_000

// CheckWidth refuses more than 65,536 members, before anything is parsed. Of what is no
// JSON it may say so or not.
func CheckWidth(text []byte) error {
	if len(text) < len(`"":0,`)*maxMembers { // it has no room for them
		return nil
	}
	var members []int // of each object and array that is open
	open, level := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i = stringEnd(text, i)
		case '{', '[':
			if level++; level > deepest {
				return nil
			}
			members = append(members, 0)
		case '}', ']':
			if level == 0 {
				return nil
			}
			level--
			open -= members[level]
			members = members[:level]
		case ':':
			if level == 0 {
				return nil
			}
			members[level-1]++
			if open++; open > maxMembers {
				return invalidRequest("expected at most %d members in an object and those that it stands in, got more at byte %d", maxMembers, i)
			}
		}
	}
	return nil
}
