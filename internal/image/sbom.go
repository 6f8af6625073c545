package image

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// A Component is something that an image has in it.
type Component struct {
	Name, Version string
	// PURL is its package URL, such as pkg:npm/express@5.1.0.
	PURL string
}

// SBOM lists components as an SPDX 2.3 document, the first of which is what the
// others belong to. The same components at the same time make the same bytes.
func SBOM(components []Component, created time.Time) ([]byte, error) {
	type reference struct {
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	type pkg struct {
		ID         string      `json:"SPDXID"`
		Name       string      `json:"name"`
		Version    string      `json:"versionInfo,omitempty"`
		Location   string      `json:"downloadLocation"`
		Analyzed   bool        `json:"filesAnalyzed"`
		Concluded  string      `json:"licenseConcluded"`
		Declared   string      `json:"licenseDeclared"`
		Copyright  string      `json:"copyrightText"`
		References []reference `json:"externalRefs"`
	}
	type relation struct {
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
	var doc struct {
		Version   string `json:"spdxVersion"`
		License   string `json:"dataLicense"`
		ID        string `json:"SPDXID"`
		Name      string `json:"name"`
		Namespace string `json:"documentNamespace"`
		Creation  struct {
			Created  string   `json:"created"`
			Creators []string `json:"creators"`
		} `json:"creationInfo"`
		Packages  []pkg      `json:"packages"`
		Relations []relation `json:"relationships"`
	}
	if len(components) == 0 {
		return nil, fmt.Errorf("list the components: there are none")
	}
	doc.Version, doc.License, doc.ID, doc.Name = "SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT", components[0].Name
	doc.Creation.Created, doc.Creation.Creators = created.UTC().Format(time.RFC3339), []string{"Tool: selvedge-" + components[0].Version}
	sum := sha256.New()
	for i, c := range components {
		fmt.Fprintf(sum, "%q\n", c)
		id := fmt.Sprintf("SPDXRef-Package-%d-%s", i, spdxName(c.Name))
		doc.Packages = append(doc.Packages, pkg{
			ID: id, Name: c.Name, Version: c.Version, Location: "NOASSERTION", Concluded: "NOASSERTION", Declared: "NOASSERTION", Copyright: "NOASSERTION",
			References: []reference{{"PACKAGE-MANAGER", "purl", c.PURL}},
		})
		if i == 0 {
			doc.Relations = append(doc.Relations, relation{doc.ID, "DESCRIBES", id})
		} else {
			doc.Relations = append(doc.Relations, relation{doc.Packages[0].ID, "CONTAINS", id})
		}
	}
	doc.Namespace = fmt.Sprintf("https://spdx.org/spdxdocs/selvedge-%x", sum.Sum(nil)[:16])
	raw, err := json.MarshalIndent(doc, "", " ")
	return append(raw, '\n'), err
}

// spdxName keeps what an SPDX identifier may have: letters, digits, dot, dash.
func spdxName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-':
			return r
		}
		return '-'
	}, s)
}
