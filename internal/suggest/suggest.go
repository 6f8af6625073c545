// Package suggest finds the word that a misspelt one was probably meant to be.
package suggest

import "strings"

// Nearest returns the candidate that word was probably meant to be, "" when
// none is near: one that goes on where word ends, or one with up to a third of
// its letters wrong.
func Nearest(word string, candidates []string) string {
	best, bestDistance := "", 1<<10
	for _, candidate := range candidates {
		d := distance(word, candidate)
		if d > max(len(word), len(candidate))/3 && (len(word) < 3 || !strings.HasPrefix(candidate, word)) {
			continue
		}
		if d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

// distance is the least number of letters to insert, delete or replace to get
// from a to b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
