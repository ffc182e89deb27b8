package kstatus

import (
	"testing"

	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Argo CD's own interpreter, without the standard libraries but the base one, as there.
func TestArgoCDHealth(t *testing.T) {
	check := example(t, "lua", "obj.status")
	each(t, func(t *testing.T, state *unstructured.Unstructured) string {
		machine := lua.NewState(lua.Options{SkipOpenLibs: true})
		defer machine.Close()
		machine.Push(machine.NewFunction(lua.OpenBase))
		machine.Push(lua.LString(lua.BaseLibName))
		machine.Call(1, 0)
		machine.SetGlobal("obj", value(machine, state.Object))
		if err := machine.DoString(check); err != nil {
			t.Fatal(err)
		}
		health, ok := machine.Get(-1).(*lua.LTable)
		if !ok {
			t.Fatalf("it returns %v", machine.Get(-1))
		}
		if health.RawGetString("message").String() == "" {
			t.Error("it says nothing")
		}
		return health.RawGetString("status").String()
	}, func(right verdict) string { return right.argo })
}

// value is a value of JSON in Lua.
func value(machine *lua.LState, of any) lua.LValue {
	switch of := of.(type) {
	case map[string]any:
		table := machine.NewTable()
		for key, entry := range of {
			table.RawSetString(key, value(machine, entry))
		}
		return table
	case []any:
		table := machine.NewTable()
		for _, entry := range of {
			table.Append(value(machine, entry))
		}
		return table
	case string:
		return lua.LString(of)
	case bool:
		return lua.LBool(of)
	case int64:
		return lua.LNumber(of)
	case float64:
		return lua.LNumber(of)
	default:
		return lua.LNil
	}
}
