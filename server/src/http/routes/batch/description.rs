//! Describes the operations of a batch and their results, each under a name of its own.

use std::borrow::Cow;

use utoipa::openapi::schema::{
    AnyOfBuilder, Discriminator, ObjectBuilder, OneOfBuilder, Schema, Type,
};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use super::super::{delete, get, put};
use crate::http::error::Envelope;

type Named = (String, RefOr<Schema>);

/// An operation of a batch.
#[derive(Debug)]
pub(super) struct Operation;

impl PartialSchema for Operation {
    fn schema() -> RefOr<Schema> {
        let operations =
            [("get", "GetOperation"), ("put", "PutOperation"), ("delete", "DeleteOperation")]
                .map(|(op, name)| (op, Ref::from_schema_name(name)));
        let places = operations.iter().map(|(op, operation)| (*op, operation.ref_location.clone()));
        let by_op = Discriminator::with_mapping("op", places);
        let any = OneOfBuilder::new().discriminator(Some(by_op));
        operations.into_iter().fold(any, |any, (_, operation)| any.item(operation)).into()
    }
}

impl ToSchema for Operation {
    fn name() -> Cow<'static, str> {
        "Operation".into()
    }

    fn schemas(schemas: &mut Vec<Named>) {
        schemas.extend([
            ("GetOperation".to_owned(), operation_of::<get::Request>("get")),
            ("PutOperation".to_owned(), operation_of::<put::Request>("put")),
            ("DeleteOperation".to_owned(), operation_of::<delete::Request>("delete")),
        ]);
    }
}

/// The request of the route `R`, and what tells operations apart.
fn operation_of<R: PartialSchema>(op: &str) -> RefOr<Schema> {
    let mut schema = R::schema();
    if let RefOr::T(Schema::Object(request)) = &mut schema {
        let kind = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([op]));
        request.properties.insert("op".to_owned(), kind.into());
        request.required.push("op".to_owned());
        if op == "get" {
            request.properties.remove("as_of");
        } else {
            request.properties.remove("recursive");
            let key = ObjectBuilder::new()
                .schema_type(Type::String)
                .pattern(Some("^[A-Za-z0-9_-]{1,128}$"))
                .description(Some(
                    "The same as the header Idempotency-Key of the operation's own route.",
                ));
            request.properties.insert("idempotency_key".to_owned(), key.into());
        }
    }
    schema
}

/// The result of an operation. One of a put is described by more than one of them, so it is any and not one.
#[derive(Debug)]
pub(super) struct OperationResult;

impl PartialSchema for OperationResult {
    fn schema() -> RefOr<Schema> {
        let names = [
            get::Answer::name(),
            put::Response::name(),
            delete::Response::name(),
            Envelope::name(),
        ];
        let any = AnyOfBuilder::new()
            .description(Some("The answer of the operation's own route, or its error."));
        names.into_iter().fold(any, |any, name| any.item(Ref::from_schema_name(name))).into()
    }
}

impl ToSchema for OperationResult {
    fn name() -> Cow<'static, str> {
        "OperationResult".into()
    }

    fn schemas(schemas: &mut Vec<Named>) {
        get::Answer::schemas(schemas);
        put::Response::schemas(schemas);
        delete::Response::schemas(schemas);
        Envelope::schemas(schemas);
    }
}
