package release

import "time"

// Version is the Deno release that Selvedge runs functions on.
const Version = "2.9.5"

// A pin is what a platform's tarball must be.
type pin struct {
	// pkg is the npm package whose package/deno is the binary.
	pkg string
	// integrity is the tarball's sha512 in the notation of Subresource
	// Integrity, as the registry gives it in dist.integrity.
	integrity string
	// size is the tarball's, in bytes.
	size int64
}

// pinned is the release in use. The hashes are those that the public registry
// published with it.
var pinned = recipe{
	version: Version,
	pins: map[Platform]pin{
		{"linux", "amd64"}: {
			pkg:       "@deno/linux-x64-glibc",
			integrity: "sha512-TDqcnoLe3jlgqYEQm7H7MK6q0JOth+o8iSZzknRODnVkJfPiNnjVn1M1Zc6vnp+ipkyb6Av1/CUlHgHtlq59Gw==",
			size:      42343525,
		},
		{"linux", "arm64"}: {
			pkg:       "@deno/linux-arm64-glibc",
			integrity: "sha512-IuYjsz9PGl7CJcNXMuN27KNDB8Q40brK3SG3l+TXMDVW61ZKwcn0fQHBHnXFiiygEwI8by/fKnASEluhZB1atw==",
			size:      41080643,
		},
		{"darwin", "amd64"}: {
			pkg:       "@deno/darwin-x64",
			integrity: "sha512-gbdlxWZuAZFiJiZtTT00Mv/aC7f/31+pyqJGQKlZr5X33WeTo5B0GG+efcX3P1UZceRKHuPEAQ1B/M2oRt8r9Q==",
			size:      42985305,
		},
		{"darwin", "arm64"}: {
			pkg:       "@deno/darwin-arm64",
			integrity: "sha512-SX98qSdBT1lw9x6NwGwx2xIayl1kRimdRnFohYlJ6nt3mLKzTKHHKQwQs5D2pEY7mbUGGbYe9brM2kfN75pPkg==",
			size:      39666809,
		},
	},
	stall:   60 * time.Second,
	backoff: []time.Duration{1 * time.Second, 3 * time.Second, 9 * time.Second},
	create:  createTemp,
}
