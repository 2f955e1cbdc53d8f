//! By what a list of products can be narrowed, and how many would be left.

use serde::Serialize;
use utoipa::ToSchema;

/// Most categories.
pub const MAX_CATEGORIES: i64 = 50;
/// Most attributes.
pub const MAX_ATTRIBUTES: i64 = 10;
/// Most values of an attribute, beside those that were chosen.
pub const MAX_VALUES: i64 = 20;

/// What fits a filter, counted. The counts of a facet are those that choosing something in it would
/// give: all of the filter counts, but for what is chosen in that facet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Facets {
    /// Products that fit.
    #[schema(example = 42)]
    pub total: i64,
    /// Up to 50 categories, the fullest first.
    pub categories: Vec<CategoryCount>,
    /// Ranges of prices, the lowest first.
    pub prices: Vec<PriceCount>,
    /// Averages of ratings: 4, 3, 2 or 1 and more, as far as there are any.
    pub ratings: Vec<RatingCount>,
    /// Products of which there are units.
    pub in_stock: i64,
    /// Up to 10 attributes: the brand, those that are chosen from, and the most frequent.
    pub attributes: Vec<AttributeCounts>,
}

/// Products in a category.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct CategoryCount {
    /// What `category` calls it.
    #[schema(example = "mugs")]
    pub slug: String,
    /// What people call it.
    pub name: String,
    /// Products in it or in its parts.
    pub count: i64,
}

/// Products in a range of prices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PriceCount {
    /// Lowest price, in minor units: what `price_min` takes.
    #[schema(example = 1000)]
    pub min: i64,
    /// Highest price, in minor units: what `price_max` takes. Null where there is no bound.
    #[schema(example = 1999)]
    pub max: Option<i64>,
    /// Products in it.
    pub count: i64,
}

/// Products that are rated so well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RatingCount {
    /// Lowest average: what `rating_min` takes.
    #[schema(example = 4)]
    pub min: i64,
    /// Products with that or more.
    pub count: i64,
}

/// Products by their values of one attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AttributeCounts {
    /// The attribute.
    #[schema(example = "brand")]
    pub name: String,
    /// Up to 20 values, the most frequent first, and those that are chosen.
    pub values: Vec<ValueCount>,
}

/// Products with a value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ValueCount {
    /// The value; `attribute` takes it after the attribute's name and a colon.
    pub value: String,
    /// Products with it.
    pub count: i64,
}

/// Where one range of prices ends and the next begins, in minor units: 1, 2, 5, 10, 20, 50 … of a
/// hundred. The same for every shop and search, so that a range does not move under the shopper.
pub fn bounds() -> Vec<i64> {
    let decades = (2..12).map(|exponent| 10_i64.pow(exponent));
    decades.flat_map(|decade| [decade, 2 * decade, 5 * decade]).collect()
}

impl PriceCount {
    /// The range before the bound with this number; after the last bound, what lies beyond.
    pub fn before(bounds: &[i64], number: usize, count: i64) -> Self {
        let min = number.checked_sub(1).and_then(|before| bounds.get(before)).copied();
        let max = bounds.get(number).map(|bound| bound - 1);
        Self { min: min.unwrap_or(0), max, count }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_touch_and_leave_nothing_out() {
        let bounds = bounds();
        let range = |number| {
            let range = PriceCount::before(&bounds, number, 0);
            (range.min, range.max)
        };
        assert_eq!(
            [range(0), range(1), range(2)],
            [(0, Some(99)), (100, Some(199)), (200, Some(499))]
        );
        assert_eq!(range(bounds.len()), (500_000_000_000, None));
        for number in 0..bounds.len() {
            assert_eq!(range(number).1.map(|max| max + 1), Some(range(number + 1).0));
        }
    }
}
