package function

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Rate bounds how often one caller may call a function. The zero value says
// nothing about it, so that another layer of configuration decides.
type Rate struct {
	// Requests are let through in each Per, evenly spread once Burst of them
	// have come at once. 0 with Unlimited set is no bound.
	Requests int
	Per      time.Duration
	Burst    int
	// Unlimited says that there is no bound, which is more than saying nothing.
	Unlimited bool
}

// MaxRate is the most that either number of a Rate can be.
const MaxRate = 1_000_000

// Limited reports whether there is a bound.
func (r Rate) Limited() bool { return r.Requests > 0 }

// ParseRate reads "100/s", "100/m" or "1000/h", which may go on with
// "burst 200"; without it the burst is the number itself. "off" is no bound.
func ParseRate(s string) (Rate, error) {
	words := strings.Fields(s)
	if len(words) == 1 && words[0] == "off" {
		return Rate{Unlimited: true}, nil
	}
	if len(words) != 1 && (len(words) != 3 || words[1] != "burst") {
		return Rate{}, errors.New(`it is no rate`)
	}
	number, unit, ok := strings.Cut(words[0], "/")
	if !ok {
		return Rate{}, errors.New("it names no unit of time")
	}
	var r Rate
	switch unit {
	case "s":
		r.Per = time.Second
	case "m":
		r.Per = time.Minute
	case "h":
		r.Per = time.Hour
	default:
		return Rate{}, fmt.Errorf("%q is no unit of time", unit)
	}
	var err error
	if r.Requests, err = rateNumber(number); err != nil {
		return Rate{}, err
	}
	r.Burst = r.Requests
	if len(words) == 3 {
		if r.Burst, err = rateNumber(words[2]); err != nil {
			return Rate{}, err
		}
	}
	return r, nil
}

func rateNumber(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < 1 || n > MaxRate {
		return 0, fmt.Errorf("%q is no number from 1 to %d", s, MaxRate)
	}
	return int(n), nil
}

// String returns the rate as ParseRate reads it, "" for the zero value.
func (r Rate) String() string {
	if r.Unlimited {
		return "off"
	}
	if !r.Limited() {
		return ""
	}
	unit := "s"
	switch r.Per {
	case time.Minute:
		unit = "m"
	case time.Hour:
		unit = "h"
	}
	s := fmt.Sprintf("%d/%s", r.Requests, unit)
	if r.Burst != r.Requests {
		s += fmt.Sprintf(" burst %d", r.Burst)
	}
	return s
}
