/** What an empty conversation with the bundled model offers, here and on the page that `tiefsee serve` has. */

/** Kinds of problems that it was trained on. */
export const STARTERS = [
  "98765 + 4321 = ?",
  "What is 87 x 6?",
  "How many r's are in strawberry?",
  "Sort these numbers: 38, 8, 96, 41.",
  "What day is 100 days after Tuesday?",
  "Tom has the ball. Mia has the book. Tom gives the ball to Mia. Who has the ball now?",
];

export const BUNDLED_HINT =
  "The bundled model adds, subtracts, multiplies and compares numbers, sorts them, counts letters, finds weekdays, and solves small stories.";
