//! Labels by which the operator finds what it keeps, and Kubernetes the pods of a workload.

/// The field manager of every write, and the value of the label `managed-by`.
pub const MANAGER: &str = "agentfs-operator";
/// The label that says who keeps an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The label that names the kind of resource an object belongs to, in lower case.
pub const APPLICATION: &str = "app.kubernetes.io/name";
/// The label that names the resource an object belongs to.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// The label that names the component of the resource.
pub const COMPONENT: &str = "app.kubernetes.io/component";

/// A component of a resource, as the label `component` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Component(&'static str);

impl Component {
    /// The component whose label has this value.
    pub const fn new(value: &'static str) -> Self {
        Self(value)
    }

    /// The label's value.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

/// The selector of labels that matches everything the operator keeps.
pub fn managed() -> String {
    format!("{MANAGED_BY}={MANAGER}")
}

/// The selector of labels that matches everything of the resource `name`.
pub fn managed_for(name: &str) -> String {
    format!("{MANAGED_BY}={MANAGER},{INSTANCE}={name}")
}
