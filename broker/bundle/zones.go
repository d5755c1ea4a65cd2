package bundle

import _ "embed" // of the names

// zones are the names of the time zones, to suggest one of: the table of tzdata's zone1970.tab,
// and UTC. Which are known is for the time package to say, and it lists none.
//
//go:embed zones.txt
var zones string
