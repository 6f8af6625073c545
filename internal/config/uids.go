package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// UIDs are numbers of users and groups, from First to Last.
type UIDs struct{ First, Last uint32 }

// autoUIDs are what workers run as where nobody said, the first that there are:
// numbers that systems and containers give to nobody, and such that a user
// namespace of the usual size has.
func autoUIDs() []UIDs {
	return []UIDs{{1_900_000_000, 1_900_065_535}, {30_000, 59_999}}
}

// leastUID is where ordinary users begin; a server has fewWorkers at most at the
// same time before it is said that there must be more.
const (
	leastUID   = 1000
	mostUID    = 1<<31 - 2 // some file systems and programs take no more
	fewWorkers = 100
)

// setUIDs sets the ranges to try, none for off.
func setUIDs(field *[]UIDs, value string) error {
	switch value {
	case "auto":
		*field = autoUIDs()
		return nil
	case "off":
		*field = nil
		return nil
	}
	from, to, ok := strings.Cut(value, "-")
	first, err1 := strconv.ParseUint(from, 10, 32)
	last, err2 := strconv.ParseUint(to, 10, 32)
	switch {
	case !ok || err1 != nil || err2 != nil:
		return errNotAccepted
	case first < leastUID || last > mostUID:
		return fmt.Errorf("users from %d to %d can be used", leastUID, mostUID)
	case last < first+fewWorkers:
		return errors.New("these are too few")
	}
	*field = []UIDs{{uint32(first), uint32(last)}}
	return nil
}
