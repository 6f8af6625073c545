package config

import "errors"

// workersShare is the share of the memory that workers may have where nobody
// said. The rest is for the server, for processes that wait, and for the
// system's own.
const workersShare = 0.75

// leastWorkersMB is room for a few small workers.
const leastWorkersMB = 128

// autoMaxMemory is what all workers together may use where nobody said, 0 where
// the memory cannot be told.
func autoMaxMemory(memory int64) int64 { return int64(workersShare * float64(memory)) }

// setMaxMemory reads a size, auto, or off.
func setMaxMemory(field *int64, value string) error {
	switch value {
	case "auto":
		*field = autoMaxMemory(machineMemory())
		return nil
	case "off":
		*field = 0
		return nil
	}
	n, err := parseSize(value)
	if err == nil && n < leastWorkersMB<<20 {
		return errors.New("it is below " + formatBody(leastWorkersMB<<20))
	}
	if err == nil {
		*field = n
	}
	return err
}
