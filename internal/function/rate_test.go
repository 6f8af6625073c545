package function

import (
	"strings"
	"testing"
	"time"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"100/s":                   {Requests: 100, Per: time.Second, Burst: 100},
		"1/m":                     {Requests: 1, Per: time.Minute, Burst: 1},
		"1000/h":                  {Requests: 1000, Per: time.Hour, Burst: 1000},
		"100/s burst 200":         {Requests: 100, Per: time.Second, Burst: 200},
		"  100/s   burst  1 ":     {Requests: 100, Per: time.Second, Burst: 1},
		"1000000/s burst 1000000": {Requests: 1000000, Per: time.Second, Burst: 1000000},
		"off":                     {Unlimited: true},
	} {
		got, err := ParseRate(text)
		if err != nil || got != want {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
		if got.Limited() != (text != "off") {
			t.Errorf("%q: limited is %t", text, got.Limited())
		}
	}
}

func TestParseRateRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"":                  "no rate",
		"100":               "no unit",
		"100/":              `"" is no unit`,
		"100/d":             `"d" is no unit`,
		"100/sec":           `"sec" is no unit`,
		"100/s/m":           `"s/m" is no unit`,
		"/s":                `"" is no number`,
		"0/s":               `"0" is no number from 1 to 1000000`,
		"-1/s":              `"-1" is no number`,
		"+1/s":              `"+1" is no number`,
		"1.5/s":             `"1.5" is no number`,
		"1_000/s":           `"1_000" is no number`,
		"1000001/s":         "no number from 1",
		"9999999999999/s":   "no number from 1",
		"100 /s":            "no rate",
		"100/s burst":       "no rate",
		"100/s burst 0":     `"0" is no number`,
		"100/s bursts 200":  "no rate",
		"100/s burst 200 x": "no rate",
		"off burst 3":       "no unit",
		"OFF":               "no unit",
	} {
		if got, err := ParseRate(text); err == nil || !strings.Contains(err.Error(), want) || got != (Rate{}) {
			t.Errorf("%q is %+v, %v; want an error with %q", text, got, err, want)
		}
	}
}

func FuzzParseRate(f *testing.F) {
	for _, seed := range []string{"100/s", "1/m burst 7", "1000/h", "off", "", "/", "1/s burst", "١/s", "1/s\x00", "0x1/s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseRate(text)
		if err != nil {
			if r != (Rate{}) {
				t.Errorf("%q is refused and yet %+v", text, r)
			}
			return
		}
		if !r.Unlimited && (r.Requests < 1 || r.Requests > MaxRate || r.Burst < 1 || r.Burst > MaxRate || r.Per < time.Second) {
			t.Errorf("%q is %+v", text, r)
		}
		if again, err := ParseRate(r.String()); err != nil || again != r {
			t.Errorf("%q is %+v, which prints as %q and is read as %+v, %v", text, r, r.String(), again, err)
		}
	})
}
