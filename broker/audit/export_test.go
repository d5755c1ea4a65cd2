package audit

// What the tests reach that the package does not export.

type File = file

const (
	MaxField         = maxField
	MaxList          = maxList
	MaxUnsigned      = maxUnsigned
	CheckpointDomain = checkpointDomain
)

func OpenWith(o Options, openSegment func(string, int) (File, error)) (*Log, error) {
	return open(o, openSegment)
}

func OpenSegment(path string, flag int) (File, error) { return openSegment(path, flag) }

func AppendBody(b []byte, r *Record) []byte { return appendBody(b, r) }
