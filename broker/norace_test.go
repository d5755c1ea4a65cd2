//go:build !race

package broker_test

// raceAllocs is what the race detector adds to a call.
const raceAllocs = 0
