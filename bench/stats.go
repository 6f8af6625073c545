package main

import (
	"math"
	"slices"
	"time"
)

// A Series is samples of one quantity, in the order they were taken.
type Series []float64

// add appends a duration in milliseconds.
func (s *Series) add(d time.Duration) { *s = append(*s, millis(d)) }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// median is the middle of the samples, NaN for none: nothing measured is never
// zero.
func (s Series) median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func (s Series) min() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	return slices.Min(s)
}

func (s Series) max() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	return slices.Max(s)
}

// over divides sample by sample; the two were taken in turns, so that a pair
// saw the same machine.
func (s Series) over(other Series) Series {
	var ratios Series
	for i := range min(len(s), len(other)) {
		ratios = append(ratios, s[i]/other[i])
	}
	return ratios
}

// minus subtracts sample by sample, as over divides.
func (s Series) minus(other Series) Series {
	var differences Series
	for i := range min(len(s), len(other)) {
		differences = append(differences, s[i]-other[i])
	}
	return differences
}

// by divides all samples by one number.
func (s Series) by(n float64) Series {
	var quotients Series
	for _, v := range s {
		quotients = append(quotients, v/n)
	}
	return quotients
}
