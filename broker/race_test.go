//go:build race

package broker_test

// raceAllocs is more than what the race detector adds to a call.
const raceAllocs = 30
