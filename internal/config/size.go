package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/selvedge-dev/selvedge/internal/function"
)

// maxBodyMB is the largest bound on a body that is not none.
const maxBodyMB = 1 << 20

// sizeUnits are powers of 1024, like the MB of memory_mb.
var sizeUnits = map[string]int64{
	"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30,
}

// setBody reads a size such as 20MB, or off.
func setBody(field *int64, value string) error {
	if strings.EqualFold(value, "off") {
		*field = function.AnyBody
		return nil
	}
	n, err := parseSize(value)
	if err == nil && n == 0 {
		return errors.New("every body would be too large, and off is the word for no bound")
	}
	if err == nil {
		*field = n
	}
	return err
}

// setMegabytes reads a size of whole MB.
func setMegabytes(field *int, value string, least int) error {
	n, err := parseSize(value)
	switch {
	case err != nil:
		return err
	case n < int64(least)<<20:
		return fmt.Errorf("it is below %dMB", least)
	case n%(1<<20) != 0:
		return errors.New("it is no whole number of MB")
	}
	*field = int(n >> 20)
	return nil
}

// parseSize reads a size of at most maxBodyMB.
func parseSize(value string) (int64, error) {
	digits := strings.TrimRight(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	n, err := strconv.ParseUint(digits, 10, 64)
	unit, known := sizeUnits[strings.ToUpper(strings.TrimSpace(value[len(digits):]))]
	switch {
	case errors.Is(err, strconv.ErrSyntax):
		return 0, errors.New("it is no size")
	case !known && n > 0: // 0 is 0 of any
		return 0, errors.New("it has no unit")
	case err != nil || n > maxBodyMB<<20/uint64(max(1, unit)):
		return 0, fmt.Errorf("it is above %s", formatBody(maxBodyMB<<20))
	}
	return int64(n) * unit, nil
}

// formatBody writes a size as setBody reads it.
func formatBody(n int64) string {
	switch {
	case n < 0:
		return "off"
	case n%(1<<30) == 0:
		return fmt.Sprintf("%dGB", n>>30)
	case n%(1<<20) == 0:
		return fmt.Sprintf("%dMB", n>>20)
	case n%(1<<10) == 0:
		return fmt.Sprintf("%dKB", n>>10)
	}
	return fmt.Sprintf("%dB", n)
}

// body reads max_body_mb: a number of MB, or "off".
func (r *tomlReader) body(key tomlKey) int64 {
	switch v := r.raw(key).(type) {
	case string:
		text, ok := r.expand(key, v)
		if !ok {
			return 0
		}
		if text == "off" {
			return function.AnyBody
		}
		r.fail(key, `%q is no size; write a number of MB, or "off" for no bound`, text)
	case int64:
		return int64(r.integer(key, 1, maxBodyMB)) << 20
	default:
		r.wrongType(key, `a whole number of MB, or "off" for no bound`)
	}
	return 0
}

// megabytes returns a bound for people, nil for none.
func megabytes(n int64) *float64 {
	if n < 0 {
		return nil
	}
	mb := math.Round(float64(n)/(1<<20)*1000) / 1000
	return &mb
}
