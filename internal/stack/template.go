package stack

// A Template is a CloudFormation template.
type Template struct {
	// Head is said at the top of the file, for those who read it.
	Head        string
	Description string
	Parameters  []Parameter
	Rules       []Rule
	Mappings    Map
	Conditions  Map
	Resources   []Resource
	Outputs     []Output
}

// A Parameter of a template. The fields are CloudFormation's.
type Parameter struct {
	Name string
	// Group is the heading under which the console asks for it.
	Group string
	// Type is String or Number.
	Type string
	// Default counts unless Required is set.
	Default     string
	Required    bool
	NoEcho      bool
	Description string

	AllowedValues []string
	// AllowedPattern is a regular expression for the whole value.
	AllowedPattern string
	// Constraint says what a value must be, where it does not fit.
	Constraint string
	// Min and Max bound a Number, both 0 for no bounds.
	Min, Max int
}

// A Rule has assertions about parameters, which CloudFormation checks before
// it does anything.
type Rule struct {
	Name string
	// When is the condition under which it holds, nil for always.
	When       any
	Assertions []Assertion
}

// An Assertion of a Rule.
type Assertion struct {
	That any
	// Else is what is said where it does not hold.
	Else string
}

// A Resource of a template.
type Resource struct {
	Name string
	Type string
	// Section begins a new part of the file, "" to go on with the last one.
	Section string
	// Comment says why, for those who read the file.
	Comment string
	// Condition is the name of the one under which it exists, "" for always.
	Condition string
	DependsOn []string
	// StartsAfter refers to resources that exist under a condition, on which it
	// depends as well. DependsOn must not have those.
	StartsAfter List
	// DeletionPolicy and UpdateReplacePolicy are Delete or Retain, "" for
	// CloudFormation's default.
	DeletionPolicy      string
	UpdateReplacePolicy string
	Properties          Map
}

// An Output of a template.
type Output struct {
	Name        string
	Description string
	// Condition is the name of the one under which it exists, "" for always.
	Condition string
	Value     any
}

// Parameter returns the parameter of a name.
func (t *Template) Parameter(name string) (Parameter, bool) {
	for _, p := range t.Parameters {
		if p.Name == name {
			return p, true
		}
	}
	return Parameter{}, false
}

// Resource returns the resource of a name, nil without one.
func (t *Template) Resource(name string) *Resource {
	for i := range t.Resources {
		if t.Resources[i].Name == name {
			return &t.Resources[i]
		}
	}
	return nil
}
