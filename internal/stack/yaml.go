package stack

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// lineWidth is how long lines of the file may be where they can be broken.
const lineWidth = 140

// YAML is the template's text, the same each time. What is short stands on one
// line, what is long has a line for each part.
func (t *Template) YAML() []byte {
	w := &writer{}
	w.comment(0, t.Head)
	w.line(0, "AWSTemplateFormatVersion: '2010-09-09'")
	w.entry(0, "Description", t.Description)
	w.metadata(t)

	w.section("Parameters")
	for _, p := range t.Parameters {
		w.parameter(p)
	}
	if len(t.Rules) > 0 {
		w.section("Rules")
		for _, r := range t.Rules {
			w.rule(r)
		}
	}
	for _, m := range t.Mappings {
		w.section("Mappings")
		w.line(1, m.Key+":")
		for _, row := range m.Value.(Map) {
			w.entry(2, row.Key, row.Value)
		}
	}
	if len(t.Conditions) > 0 {
		w.section("Conditions")
		for _, c := range t.Conditions {
			w.entry(1, c.Key, c.Value)
		}
	}
	w.section("Resources")
	for i := range t.Resources {
		w.resource(&t.Resources[i])
	}
	w.section("Outputs")
	for _, o := range t.Outputs {
		w.line(1, o.Name+":")
		if o.Condition != "" {
			w.entry(2, "Condition", o.Condition)
		}
		if o.Description != "" {
			w.entry(2, "Description", o.Description)
		}
		w.entry(2, "Value", o.Value)
	}
	return []byte(w.b.String())
}

type writer struct{ b strings.Builder }

func (w *writer) line(level int, text string) {
	w.b.WriteString(strings.Repeat("  ", level))
	w.b.WriteString(text)
	w.b.WriteByte('\n')
}

func (w *writer) comment(level int, text string) {
	for l := range strings.Lines(text) {
		w.line(level, strings.TrimRight("# "+strings.TrimRight(l, "\n"), " "))
	}
}

func (w *writer) section(name string) {
	w.line(0, "")
	w.line(0, name+":")
}

// metadata puts the parameters under headings in the console.
func (w *writer) metadata(t *Template) {
	var groups List
	for _, p := range t.Parameters {
		i := slices.IndexFunc(groups, func(g any) bool { return g.(Map).Get("Label").(Map).Get("default") == p.Group })
		if i < 0 {
			i = len(groups)
			groups = append(groups, object("Label", object("default", p.Group), "Parameters", List{}))
		}
		g := groups[i].(Map)
		g[1].Value = append(g[1].Value.(List), p.Name)
	}
	w.section("Metadata")
	w.line(1, "AWS::CloudFormation::Interface:")
	w.entry(2, "ParameterGroups", groups)
}

func (w *writer) parameter(p Parameter) {
	fields := object("Type", p.Type)
	add := func(key string, value any) { fields = append(fields, Entry{key, value}) }
	number := func(s string) any {
		if n, err := strconv.Atoi(s); err == nil && p.Type == "Number" {
			return n
		}
		return s
	}
	if !p.Required {
		add("Default", number(p.Default))
	}
	if p.NoEcho {
		add("NoEcho", true)
	}
	if p.AllowedValues != nil {
		var all List
		for _, v := range p.AllowedValues {
			all = append(all, number(v))
		}
		add("AllowedValues", all)
	}
	if p.AllowedPattern != "" {
		add("AllowedPattern", p.AllowedPattern)
		if !strings.HasSuffix(p.Constraint, "or nothing") { // the pattern says as much
			add("ConstraintDescription", p.Constraint)
		}
	}
	if p.Min != 0 || p.Max != 0 {
		add("MinValue", p.Min)
		add("MaxValue", p.Max)
	}
	add("Description", p.Description)
	w.line(1, p.Name+":")
	w.entries(2, fields)
}

func (w *writer) rule(r Rule) {
	w.line(1, r.Name+":")
	if r.When != nil {
		w.entry(2, "RuleCondition", r.When)
	}
	w.line(2, "Assertions:")
	for _, a := range r.Assertions {
		w.line(2, "- Assert: "+mustFlow(a.That))
		w.entry(3, "AssertDescription", a.Else)
	}
}

func (w *writer) resource(r *Resource) {
	if r.Section != "" {
		w.line(0, "")
		w.line(1, "# ---- "+r.Section+" ----")
	}
	w.line(0, "")
	w.comment(1, r.Comment)
	w.line(1, r.Name+":")
	w.entry(2, "Type", r.Type)
	for _, e := range object("Condition", r.Condition, "DeletionPolicy", r.DeletionPolicy, "UpdateReplacePolicy", r.UpdateReplacePolicy) {
		if e.Value != "" {
			w.entry(2, e.Key, e.Value)
		}
	}
	if len(r.DependsOn) > 0 {
		w.entry(2, "DependsOn", texts(r.DependsOn))
	}
	if len(r.StartsAfter) > 0 {
		w.entry(2, "Metadata", object("StartsAfter", r.StartsAfter))
	}
	if len(r.Properties) > 0 {
		w.entry(2, "Properties", r.Properties)
	}
}

func (w *writer) entries(level int, m Map) {
	for _, e := range m {
		w.entry(level, e.Key, e.Value)
	}
}

// entry writes a key and its value.
func (w *writer) entry(level int, key string, v any) { w.put(level, quote(key)+":", v) }

// put writes what comes after head, a key with its colon or a dash, on the same
// line or below it.
func (w *writer) put(level int, head string, v any) {
	indent := 2 * level
	tag := ""
	for {
		t, arg, ok := short(v)
		if !ok {
			break
		}
		if text, ok := flow(v); ok && indent+len(head)+1+len(text) <= lineWidth {
			break
		}
		if tag != "" { // a function of a function: YAML has one tag a value
			panic(fmt.Sprintf("%s of %s is too long for a line", tag, t))
		}
		tag, v = " "+t, arg
	}
	if s, ok := v.(string); ok && strings.Contains(s, "\n") {
		w.line(level, head+tag+" |")
		for l := range strings.Lines(s) {
			w.line(level+1, strings.TrimRight(l, "\n"))
		}
		return
	}
	text, ok := flow(v)
	if s, is := v.(string); is && sentence.MatchString(s) && !strings.Contains(s, ": ") && !strings.Contains(s, " #") {
		text = s
	}
	if ok && indent+len(head)+len(tag)+1+len(text) <= lineWidth {
		w.line(level, head+tag+" "+text)
		return
	}
	switch v := v.(type) {
	case string:
		if tag == "" && foldable(v) {
			w.line(level, head+" >-")
			w.fold(level+1, v)
			return
		}
		w.line(level, head+tag+" "+text)
	case List:
		if words, ok := scalars(v); ok && tag == "" {
			w.wrap(level, head, words)
			return
		}
		w.line(level, head+tag)
		if head == "-" {
			level++
		}
		for _, e := range v {
			w.item(level, e)
		}
	case Map:
		w.line(level, head+tag)
		w.entries(level+1, v)
	default:
		w.line(level, head+tag+" "+text)
	}
}

// item writes an element of a list. The first key of an object stands beside
// the dash.
func (w *writer) item(level int, v any) {
	m, isMap := v.(Map)
	if text, ok := flow(v); isMap && len(m) > 0 && (!ok || 2*level+2+len(text) > lineWidth) {
		inner := &writer{}
		inner.entries(level+1, m)
		text := inner.b.String()
		w.b.WriteString(text[:2*level] + "- " + text[2*level+2:])
		return
	}
	w.put(level, "-", v)
}

// fold writes a long text in lines that YAML joins by blanks.
func (w *writer) fold(level int, s string) {
	line := ""
	for word := range strings.FieldsSeq(s) {
		if line != "" && 2*level+len(line)+1+len(word) > lineWidth {
			w.line(level, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	w.line(level, line)
}

// scalars are the elements of a list of nothing else.
func scalars(l List) ([]string, bool) {
	var all []string
	for _, e := range l {
		switch e.(type) {
		case string, int:
		default:
			return nil, false
		}
		all = append(all, mustFlow(e))
	}
	return all, true
}

// wrap writes a long list of scalars in lines.
func (w *writer) wrap(level int, head string, words []string) {
	line := head + " ["
	for i, word := range words {
		if i < len(words)-1 {
			word += ","
		} else {
			word += "]"
		}
		if 2*level+len(line)+1+len(word) > lineWidth {
			w.line(level, strings.TrimRight(line, " "))
			line = "  "
		}
		line += word
		if i < len(words)-1 {
			line += " "
		}
	}
	w.line(level, line)
}

func foldable(s string) bool {
	return strings.Contains(s, " ") && !strings.Contains(s, "  ") && strings.TrimSpace(s) == s
}

func mustFlow(v any) string {
	text, ok := flow(v)
	if !ok {
		panic(fmt.Sprintf("%v has no form of one line", v))
	}
	return text
}

// flow is a value on one line, if it has such a form.
func flow(v any) (string, bool) {
	if c, ok := v.(Condition); ok {
		return "{Condition: " + string(c) + "}", true
	}
	if tag, arg, ok := short(v); ok {
		text, ok := flow(arg)
		return tag + " " + text, ok
	}
	join := func(n int, part func(int) (string, bool)) (string, bool) {
		all := make([]string, n)
		for i := range all {
			text, ok := part(i)
			if !ok {
				return "", false
			}
			all[i] = text
		}
		return strings.Join(all, ", "), true
	}
	switch v := v.(type) {
	case string:
		return quote(v), !strings.Contains(v, "\n")
	case bool:
		return strconv.FormatBool(v), true
	case int:
		return strconv.Itoa(v), true
	case List:
		text, ok := join(len(v), func(i int) (string, bool) { return flow(v[i]) })
		return "[" + text + "]", ok
	case Map:
		text, ok := join(len(v), func(i int) (string, bool) {
			text, ok := flow(v[i].Value)
			return quote(v[i].Key) + ": " + text, ok
		})
		return "{" + text + "}", ok
	}
	panic(fmt.Sprintf("%T is no value of a template", v))
}

// plain are texts that YAML takes as they are, inside of lists and objects,
// too. Words that it takes for something else begin with these letters, and are
// not among the templates' but for those of notPlain.
var (
	plain    = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./-]*(:{1,2}[A-Za-z0-9_./*-]+)*( [A-Za-z0-9_./()-]+(:[A-Za-z0-9_./-]+)*[.,]?)*$`)
	sentence = regexp.MustCompile(`^[A-Z][A-Za-z0-9]* [A-Za-z0-9 ,;.'"{}()<>=/@%_:-]*[A-Za-z0-9.]$`) // with a line to itself
	amount   = regexp.MustCompile(`^[1-9][0-9]*(s|m|MB)$`)
	notPlain = regexp.MustCompile(`(?i)^(true|false|yes|no|on|off|y|n|null|\.nan|\.inf)$`)
)

// quote writes a text as one scalar.
func quote(s string) string {
	if plain.MatchString(s) && !notPlain.MatchString(s) && !strings.Contains(s, ",") {
		return s
	}
	if amount.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}
