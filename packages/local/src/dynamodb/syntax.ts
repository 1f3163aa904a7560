/** The forms of DynamoDB's expressions. Placeholders stay as written: one parsed text serves many requests. */

/** Names (`a`, `#a`) and list positions, outermost first. */
export type Path = readonly (string | number)[];

export type Operand =
  | { readonly kind: "path"; readonly path: Path }
  | { readonly kind: "value"; readonly name: string }
  | { readonly kind: "size"; readonly path: Path };

export type Comparator = "=" | "<>" | "<" | "<=" | ">" | ">=";

export type Condition =
  | { readonly kind: "and" | "or"; readonly left: Condition; readonly right: Condition }
  | { readonly kind: "not"; readonly of: Condition }
  | {
      readonly kind: "compare";
      readonly operator: Comparator;
      readonly left: Operand;
      readonly right: Operand;
    }
  | {
      readonly kind: "between";
      readonly of: Operand;
      readonly low: Operand;
      readonly high: Operand;
    }
  | { readonly kind: "in"; readonly of: Operand; readonly among: readonly Operand[] }
  | { readonly kind: "exists" | "missing"; readonly path: Path }
  | { readonly kind: "type"; readonly path: Path; readonly type: Operand }
  | {
      readonly kind: "begins_with" | "contains";
      readonly of: Operand;
      readonly part: Operand;
    };

export type UpdateOperand =
  | { readonly kind: "path"; readonly path: Path }
  | { readonly kind: "value"; readonly name: string }
  | { readonly kind: "if_not_exists"; readonly path: Path; readonly otherwise: UpdateOperand }
  | { readonly kind: "list_append"; readonly left: UpdateOperand; readonly right: UpdateOperand }
  | {
      readonly kind: "sum";
      readonly sign: 1 | -1;
      readonly left: UpdateOperand;
      readonly right: UpdateOperand;
    };

export type UpdateAction =
  | { readonly kind: "set"; readonly path: Path; readonly to: UpdateOperand }
  | { readonly kind: "remove"; readonly path: Path }
  | { readonly kind: "add" | "delete"; readonly path: Path; readonly value: string };

/** What a parsed text is, and which placeholders it mentions. */
export interface Parsed<T> {
  readonly tree: T;
  readonly names: readonly string[];
  readonly values: readonly string[];
  /** Top-level attributes, or their placeholders. */
  readonly roots: readonly string[];
}

export type ExpressionKind =
  | "ConditionExpression"
  | "FilterExpression"
  | "KeyConditionExpression"
  | "ProjectionExpression"
  | "UpdateExpression";
