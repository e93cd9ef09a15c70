; Grade-school word problems, the first n of eight: each is reasoned about by itself, its final answer is
; extracted, and the answers are combined into one list.
(combine {model}
   (plus
      (take {n}
         (extract {model} 1
            (g {model}
               (seq (system "You reason about math word problems, step by step.")
                    (user "Question 1: A baker fills 6 trays with 12 rolls each, and sells 50 rolls. How many rolls are left?"))
               {temperature} {max_tokens}))
         (extract {model} 1
            (g {model}
               (seq (system "You reason about math word problems, step by step.")
                    (user "Question 2: A train ticket costs $14, and a child pays half. What do two adults and three children pay?"))
               {temperature} {max_tokens}))
         (extract {model} 1
            (g {model}
               (seq (system "You reason about math word problems, step by step.")
                    (user "Question 3: Mina reads 15 pages a day. Her book has 240 pages, and she has read for 9 days. How many pages are left?"))
               {temperature} {max_tokens}))
         (extract {model} 1
            (g {model}
               (seq (system "You reason about math word problems, step by step.")
                    (user "Question 4: A tank holds 90 liters. A pump fills 4 liters a minute, and a leak loses 1 liter a minute. How many minutes until it is full?"))
               {temperature} {max_tokens}))
         (extract {model} 1
            (g {model}
               (seq (system "You reason about math word problems, step by step.")
                    (user "Question 5: Oskar has three times as many stamps as Lena. Together they have 84. How many has Lena?"))
               {temperature} {max_tokens}))
         (extract {model} 1
            (g {model}
               (seq (system "You reason about math word problems, step by step.")
                    (user "Question 6: A bicycle costs $320. In the sale it is a quarter cheaper, and a lock for $25 is added. What is to pay?"))
               {temperature} {max_tokens}))
         (extract {model} 1
            (g {model}
               (seq (system "You reason about math word problems, step by step.")
                    (user "Question 7: A class of 28 goes to the museum in cars that take 4 children each, besides the driver. How many cars are needed?"))
               {temperature} {max_tokens}))
         (extract {model} 1
            (g {model}
               (seq (system "You reason about math word problems, step by step.")
                    (user "Question 8: Water is poured from a full 5-liter can into glasses of a fifth of a liter. After 17 glasses, how many liters are left?"))
               {temperature} {max_tokens})))))
